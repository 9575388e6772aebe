import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { applyDocuments, readCurrent, type Publisher } from "../../src/control/publish.ts";
import { keepSeeded } from "../../src/control/reseed.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import type { Store } from "../../src/control/store.ts";
import { compareVersions, newEpoch } from "../../src/control/version.ts";
import { systemRandom } from "../../src/random.ts";

const text = "apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: orders}\n";

/** A store that can lose everything, as FLUSHALL does. */
function losable(): { store: Store; lose(): void } {
  let inner = memoryStore();
  const store: Store = {
    kind: "memory",
    name: "losable",
    isConnected: true,
    get config() {
      return inner.config;
    },
    get registry() {
      return inner.registry;
    },
    get breaker() {
      return inner.breaker;
    },
    watch: (listener) => inner.watch(listener),
    close: () => inner.close(),
  };
  return { store, lose: () => void (inner = memoryStore()) };
}

describe("keepSeeded()", () => {
  it("publishes again what the store has lost, under a newer epoch and a higher number (I6)", async () => {
    const { store, lose } = losable();
    const publisher: Publisher = { store, mesh: "default", clock: systemClock };
    const reseeded: number[] = [];
    const seeding = keepSeeded({ publisher, random: systemRandom, onReseeded: (version) => reseeded.push(version) });
    await applyDocuments(publisher, [{ file: "-", text }], { author: "operator", message: "" }, new Set());
    const before = (await store.config.pointer())!;
    await seeding.look();
    lose();
    assert.equal(await store.config.pointer(), null);
    await seeding.look();
    const after = await readCurrent(publisher);
    assert.ok(compareVersions(after, before) > 0);
    assert.ok(after.epoch > before.epoch);
    assert.equal(after.version, before.version + 1);
    assert.deepEqual(
      after.documents.map(({ metadata }) => metadata.name),
      ["orders"],
    );
    assert.deepEqual(reseeded, [after.version]);
    await seeding.look();
    assert.deepEqual(reseeded, [after.version], "once");
    seeding.close();
  });

  it("does not seed a store it never saw anything in", async () => {
    const publisher: Publisher = { store: memoryStore(), mesh: "default", clock: systemClock };
    const seeding = keepSeeded({ publisher, random: systemRandom, onReseeded: () => assert.fail() });
    await seeding.look();
    seeding.close();
    assert.equal(await publisher.store.config.pointer(), null);
  });
});

describe("newEpoch()", () => {
  it("is a UUIDv7 later than the last one, even if the clock went back", () => {
    const first = newEpoch(1_800_000_000_000);
    assert.match(first, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.ok(newEpoch(1_800_000_000_001) > first);
    assert.ok(newEpoch(1_000, first) > first);
    assert.ok(newEpoch(1_900_000_000_000, "by hand") > first);
  });
});
