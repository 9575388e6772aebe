/** A drain lets what is in flight finish, with all that finishing takes. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { call, startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { delay, eventually } from "../support/ports.ts";

describe("Sidecar.drain()", () => {
  let mesh: Mesh;
  const apps: App[] = [];
  // The mesh's own timers keep no process alive.
  const alive = setInterval(() => {}, 1_000);
  before(async () => {
    mesh = await startMesh();
  });
  after(async () => {
    await mesh.close();
    for (const app of apps) await app.close();
    clearInterval(alive);
  });

  it("a request in flight may still call others through the outbound port", async () => {
    let outbound = "";
    const inventory = await startApp("inventory");
    const orders = await startApp("orders", (_request, response) => {
      void delay(1_000)
        .then(() => call(outbound, "/stock", { headers: { host: "inventory" } }))
        .then(
          ({ status, body }) => response.end(`${status} ${body}`),
          (error: unknown) => response.end(String(error)),
        );
    });
    const web = await startApp("web");
    apps.push(inventory, orders, web);
    await mesh.sidecar("inventory", inventory);
    const beside = await mesh.sidecar("orders", orders);
    outbound = beside.ready.outbound;
    const caller = await mesh.sidecar("web", web);
    const reply = call(caller.ready.outbound, "/", { headers: { host: "orders" } });
    await eventually("the request has arrived", () => orders.seen.length > 0);
    const drained = beside.drain();
    const { status, body } = await reply;
    assert.deepEqual([status, body], [200, "200 inventory"]);
    await drained;
  });
});
