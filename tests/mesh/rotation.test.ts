import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { eventually } from "../support/ports.ts";
import { startLoad } from "./_load.ts";

describe("certificates that live four seconds", () => {
  let mesh: Mesh;
  let app: App;
  let web: Sidecar;
  let orders: Sidecar;
  before(async () => {
    mesh = await startMesh({ certTtlMs: 4_000 });
    app = await startApp("orders");
    web = await mesh.sidecar("web", app);
    orders = await mesh.sidecar("orders", app);
    await eventually("web knows orders", async () =>
      (await call(web.ready.admin, "/endpoints")).body.includes(orders.ready.inbound),
    );
  });
  after(async () => {
    await mesh.close();
    await app.close();
  });

  it("are renewed three times on both sides, and no request fails (A-30, I16)", { timeout: 40_000 }, async () => {
    const load = startLoad(web.ready.outbound, "orders", { workers: 6, pauseMs: 5 });
    const renewals = [web, orders].map((sidecar) => {
      const seen = new Set<string>();
      return eventually(
        "four certificates",
        async () => seen.add((await call(sidecar.ready.admin, "/certs")).body).size >= 4,
        20_000,
        100,
      );
    });
    await Promise.all(renewals);
    const { sent, failures } = await load.stop();
    assert.equal(failures, "");
    assert.ok(sent > 300, `${sent} requests`);
  });
});
