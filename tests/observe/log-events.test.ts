import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { logEvents } from "../../src/observe/log-events.ts";
import { createLog } from "../../src/observe/log.ts";
import { makeCluster, makeEndpoint, TestClock } from "./exchanges.ts";

describe("logEvents()", () => {
  const clock = new TestClock();
  const lines: string[] = [];
  const events = logEvents(createLog({ level: "info", clock, write: (line) => void lines.push(line) }), clock);
  const taken = (): Record<string, unknown>[] =>
    lines.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>);

  it("warns when a breaker opens, and says who decided", () => {
    const endpoint = makeEndpoint("10.0.0.1:1");
    events.breakerChanged?.(makeCluster("orders", [endpoint]), endpoint, "closed", "open", "quorum");
    const [line] = taken();
    assert.deepEqual([line?.["level"], line?.["endpoint"], line?.["source"]], ["warn", "10.0.0.1:1", "quorum"]);
  });

  it("lets nobody fill the log by refused connections: one line per reason and ten seconds, with what was left out", () => {
    for (let i = 0; i < 10_000; i++) events.handshakeRefused?.("inbound", "certificate expired", `10.0.0.${i % 250}`);
    events.handshakeRefused?.("inbound", "no client certificate", "10.0.0.9");
    assert.deepEqual(
      taken().map((line) => line["reason"]),
      ["certificate expired", "no client certificate"],
    );
    clock.advance(10_000);
    events.handshakeRefused?.("inbound", "certificate expired", "10.0.0.1");
    events.handshakeRefused?.("inbound", "no client certificate", "10.0.0.9");
    assert.deepEqual(
      taken().map((line) => line["leftOut"]),
      [9_999, undefined],
    );
  });
});
