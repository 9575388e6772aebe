import { startPlane } from "./_plane.ts";
import { storeSuite } from "./_store-suite.ts";

storeSuite("http", async () => {
  const mesh = await startPlane();
  return { open: async () => mesh.operator(), openAs: (service) => mesh.member(service), close: () => mesh.close() };
});
