import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MeshError } from "../../src/errors.ts";
import type { Exchange } from "../../src/exchange.ts";
import { createAccessLog, type AccessLog, type AccessLogMode } from "../../src/observe/access-log.ts";
import {
  makeCluster,
  makeEndpoint,
  makeExchange,
  makeRoute,
  TestClock,
  webPeer,
  type ExchangeParts,
} from "./exchanges.ts";

function accessLog(mode: AccessLogMode = "all"): {
  log: AccessLog;
  clock: TestClock;
  writes: string[];
  lines: () => Record<string, unknown>[];
} {
  const clock = new TestClock();
  const writes: string[] = [];
  const log = createAccessLog({ mode, clock, write: (lines) => void writes.push(lines) });
  const lines = (): Record<string, unknown>[] =>
    writes
      .join("")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, clock, writes, lines };
}

function finished(log: AccessLog, facts: Partial<Exchange> = {}, parts: ExchangeParts = {}): void {
  log.events.requestFinished?.(Object.assign(makeExchange(parts), facts));
}

describe("createAccessLog()", () => {
  it("writes what happened to a request, without its query", () => {
    const { log, clock, lines } = accessLog();
    clock.now += 12.3456;
    finished(
      log,
      {
        status: 200,
        bytesReceived: 3,
        bytesSent: 4,
        requestId: "id-1",
        traceId: "0af7651916cd43dd8448eb211c80319c",
        cluster: makeCluster("orders"),
        route: makeRoute("default/orders"),
        endpoint: makeEndpoint("10.0.0.1:15006"),
        attempt: 2,
        respondedAtMs: 1_010,
      },
      { target: "/a%20b?token=secret", headers: [["user-agent", "curl/8"]] },
    );
    log.flush();
    assert.deepEqual(lines(), [
      {
        timestamp: "2026-01-02T03:04:05.665Z",
        direction: "outbound",
        method: "GET",
        path: "/a%20b",
        authority: "orders",
        status: 200,
        duration_ms: 12.346,
        upstream_ms: 10,
        bytes_received: 3,
        bytes_sent: 4,
        request_id: "id-1",
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        remote: "10.0.0.9",
        service: "default/orders",
        route: "default/orders",
        endpoint: "10.0.0.1:15006",
        attempts: 2,
        config_version: 7,
        user_agent: "curl/8",
      },
    ]);
  });

  it("names who refused a request and why, and the peer that sent it", () => {
    const { log, lines } = accessLog();
    const error = new MeshError("ERR_PEER_FORBIDDEN", 'no rule allows "GET /x"');
    finished(log, { status: 403, flag: "AZ", error }, { direction: "inbound", connection: { peer: webPeer } });
    log.flush();
    const [line] = lines();
    assert.equal(line?.["flag"], "AZ");
    assert.equal(line?.["error"], "ERR_PEER_FORBIDDEN");
    assert.equal(line?.["reason"], 'no rule allows "GET /x"');
    assert.equal(line?.["peer"], "spiffe://mesh.test/ns/shop/sa/web");
  });

  it("shows both flags where giving up had a reason of its own, and the whole chain of causes", () => {
    const { log, lines } = accessLog();
    const error = new MeshError("ERR_CONNECT_FAILED", "10.0.0.1:1 refused", { cause: new Error("ECONNREFUSED") });
    finished(log, { status: 503, flag: "URX", error });
    finished(log, { status: 503, flag: "URX" });
    finished(log, { status: 503, flag: "UF", error });
    log.flush();
    assert.deepEqual(
      lines().map((line) => line["flag"]),
      ["UF,URX", "URX", "UF"],
    );
    assert.equal(lines()[0]?.["reason"], "10.0.0.1:1 refused: ECONNREFUSED");
  });

  it("has a line for bytes that never became a request", () => {
    const { log, lines } = accessLog("errors");
    log.events.requestRefused?.(
      "inbound",
      new MeshError("ERR_REQUEST_MALFORMED", "More than one Host line"),
      "10.0.0.9",
    );
    log.flush();
    assert.deepEqual(lines(), [
      {
        timestamp: "2026-01-02T03:04:05.678Z",
        direction: "inbound",
        status: 400,
        flag: "DPE",
        error: "ERR_REQUEST_MALFORMED",
        reason: "More than one Host line",
        remote: "10.0.0.9",
      },
    ]);
  });

  it("keeps one line one line, whatever a caller writes into its request", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (path, agent) => {
        const { log, writes, lines } = accessLog();
        finished(log, { status: 200 }, { target: `/${path.replaceAll("?", "")}`, headers: [["user-agent", agent]] });
        log.flush();
        assert.equal(writes.join("").split("\n").length, 2);
        assert.equal(lines()[0]?.["path"], `/${path.replaceAll("?", "")}`);
        assert.equal(lines()[0]?.["user_agent"], agent);
      }),
    );
  });

  it("writes in batches: when 64 lines wait, or after 200 ms, or when flushed", () => {
    const { log, clock, writes } = accessLog();
    for (let i = 0; i < 63; i++) finished(log);
    assert.equal(writes.length, 0);
    finished(log);
    assert.equal(writes.length, 1);
    assert.equal(clock.pending, 0, "no timer is left behind");
    finished(log);
    assert.equal(clock.pending, 1);
    finished(log);
    assert.equal(clock.pending, 1, "one timer per batch");
    clock.advance(199);
    assert.equal(writes.length, 1);
    clock.advance(1);
    assert.equal(writes.length, 2);
    assert.equal(writes[1]?.split("\n").length, 3);
    finished(log);
    log.flush();
    log.flush();
    assert.equal(writes.length, 3);
    assert.equal(clock.pending, 0);
  });

  it("writes only what went wrong in mode errors, and nothing in mode off", () => {
    const errors = accessLog("errors");
    finished(errors.log, { status: 200 });
    finished(errors.log, { status: 399 });
    finished(errors.log, { status: 404 });
    finished(errors.log, { status: 200, flag: "DC" });
    errors.log.flush();
    assert.deepEqual(
      errors.lines().map((line) => line["status"]),
      [404, 200],
    );
    const off = accessLog("off");
    assert.equal(off.log.events.requestFinished, undefined, "nobody even calls it");
    off.log.flush();
    assert.equal(off.writes.length, 0);
  });
});
