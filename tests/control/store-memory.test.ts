import { memoryStore } from "../../src/control/store-memory.ts";
import type { Store } from "../../src/control/store.ts";
import { storeSuite } from "./_store-suite.ts";

storeSuite("memory", async () => {
  const store = memoryStore();
  // One process, one store: its members share the object, and none of them may close it for the others.
  const view = (): Store => ({
    kind: store.kind,
    name: store.name,
    config: store.config,
    registry: store.registry,
    breaker: store.breaker,
    isConnected: true,
    watch: (listener) => store.watch(listener),
    close: async () => {},
  });
  return { open: async () => view(), openAs: async () => view(), close: () => store.close() };
});
