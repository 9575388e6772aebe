import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, describe, it } from "node:test";
import { call, callJson, freePort } from "../../../src/cli/demo/http.ts";
import { Load, order } from "../../../src/cli/demo/load.ts";

describe("the demo's load", () => {
  let server: Server;
  let address = "";
  let status = 200;
  let seen: (string | undefined)[] = [];

  before(async () => {
    server = createServer((request, response) => {
      seen.push(request.headers["x-canary"] as string | undefined);
      if (request.url === "/slow") return;
      response.writeHead(status);
      response.end(
        JSON.stringify({ order: { instance: "orders-1", version: request.headers["x-canary"] ? "v2" : "v1" } }),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    address = `127.0.0.1:${(server.address() as { port: number }).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  it("starts requests by the clock and counts what came back", async () => {
    const load = new Load([address], 200);
    const startedAtMs = performance.now();
    load.start();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await load.stop();
    const report = load.report(startedAtMs);
    assert.ok(report.sent >= 50 && report.sent <= 120, `${report.sent} sent`);
    assert.equal(report.sent, load.total);
    assert.equal(report.failed, 0);
    assert.deepEqual(report.byInstance, { "orders-1": report.sent });
    assert.ok(report.p99Ms >= report.p50Ms && report.p50Ms > 0);
  });

  it("counts a status other than 200 as failed and keeps the first one's text", async () => {
    status = 503;
    try {
      const sample = await order(address);
      assert.equal(sample.isOk, false);
      assert.match(sample.failure, /^503 /);
    } finally {
      status = 200;
    }
  });

  it("counts a refused connection as failed, and never rejects", async () => {
    const sample = await order(`127.0.0.1:${await freePort()}`);
    assert.equal(sample.isOk, false);
    assert.notEqual(sample.failure, "");
  });

  it("sends the headers it is given", async () => {
    seen = [];
    assert.equal((await order(address, { "x-canary": "always" })).version, "v2");
    assert.deepEqual(seen, ["always"]);
  });

  it("gives up on a reply that does not come", async () => {
    await assert.rejects(call(address, "/slow", { timeoutMs: 50 }), /no reply within 50 ms/);
  });

  it("says which status stands in the way of JSON", async () => {
    status = 500;
    try {
      await assert.rejects(callJson(address, "/"), /answered 500/);
    } finally {
      status = 200;
    }
  });
});

describe("freePort()", () => {
  it("gives none twice, and none that the system gives to others", async () => {
    const ports = await Promise.all(Array.from({ length: 50 }, freePort));
    assert.equal(new Set(ports).size, 50);
    assert.ok(ports.every((port) => port >= 20_000 && port < 32_000));
  });
});
