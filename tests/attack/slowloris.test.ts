import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { call } from "../support/mesh.ts";
import { delay, eventually } from "../support/ports.ts";
import { type RawClient } from "../support/raw.ts";
import { doors, startRig, type Rig } from "./_rig.ts";

describe("three hundred callers that never finish a head", () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig.close());

  it(
    "are closed ten seconds after their first byte, however they dribble, and nobody else waits (A-51)",
    { timeout: 30_000 },
    async () => {
      rig.upstream.forget();
      const clients: { readonly client: RawClient; readonly door: string; closedAfterMs: number }[] = [];
      const beganAtMs = performance.now();
      for (const door of doors) {
        for (let i = 0; i < 150; i++) {
          const client = await rig.open(door);
          const one = { client, door, closedAfterMs: Infinity };
          clients.push(one);
          const firstByteAtMs = performance.now();
          client.socket.on("close", () => (one.closedAfterMs = performance.now() - firstByteAtMs));
          client.socket.on(
            "end",
            () => (one.closedAfterMs = Math.min(one.closedAfterMs, performance.now() - firstByteAtMs)),
          );
          client.write("G");
        }
      }
      const head = "ET /slow HTTP/1.1\r\nHost: orders\r\nX: ";
      let sent = 0;
      const latencies: number[] = [];
      // One further byte a second for each of them, and a good request every now and then.
      while (performance.now() - beganAtMs < 9_000) {
        for (const { client } of clients) if (!client.isClosed) client.write(head[sent] ?? "x");
        sent++;
        for (let i = 0; i < 10; i++) {
          const startedAtMs = performance.now();
          assert.equal((await call(rig.web.ready.outbound, "/good", { headers: { host: "orders" } })).status, 200);
          latencies.push(performance.now() - startedAtMs);
        }
        await delay(900);
      }
      assert.ok(
        clients.every(({ client }) => !client.isClosed),
        "not before their time",
      );
      await eventually("all are closed", () => clients.every(({ client }) => client.isClosed), 10_000, 50);
      for (const { closedAfterMs, door } of clients)
        assert.ok(closedAfterMs >= 9_000 && closedAfterMs < 16_000, `${door}: ${closedAfterMs} ms`);
      for (const { client } of clients) if (client.text !== "") assert.match(client.text, /^HTTP\/1\.1 408 /);
      latencies.sort((a, b) => a - b);
      assert.ok(latencies[latencies.length >> 1]! < 250, `median ${latencies[latencies.length >> 1]} ms`);
      assert.ok(!rig.upstream.requests.some(({ startLine }) => startLine.includes("/slow")));
      for (const { client } of clients) client.destroy();
      await eventually(
        "their places are free",
        async () => (await rig.count(rig.orders, "tcp_open_connections", { direction: "inbound" })) <= 4,
        5_000,
      );
    },
  );
});
