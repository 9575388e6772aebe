import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog, silentLog } from "../../src/observe/log.ts";
import { TestClock } from "./exchanges.ts";

describe("createLog()", () => {
  it("writes one JSON line per message, from its level upwards", () => {
    const lines: string[] = [];
    const log = createLog({ level: "info", clock: new TestClock(), write: (line) => void lines.push(line) });
    log.debug("unseen");
    log.info("started", { port: 15_006 });
    log
      .with({ service: "orders" })
      .error("broke", { error: new Error("outer", { cause: new Error("inner\nline") }), size: 3n });
    silentLog.with({}).error("unheard");
    assert.ok(lines.every((line) => line.endsWith("\n") && line.indexOf("\n") === line.length - 1));
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as unknown),
      [
        { time: "2026-01-02T03:04:05.678Z", level: "info", message: "started", port: 15_006 },
        {
          time: "2026-01-02T03:04:05.678Z",
          level: "error",
          message: "broke",
          service: "orders",
          error: "outer: inner\nline",
          size: "3",
        },
      ],
    );
  });
});
