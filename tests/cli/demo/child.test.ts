import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { Child } from "../../../src/cli/demo/child.ts";

const shell = (script: string): Child =>
  new Child({ name: "child", command: ["sh", "-c", script], environment: { PATH: process.env["PATH"] ?? "" } });

describe("Child", () => {
  it("waits for the ready line, whatever is said before", async () => {
    const child = shell(`echo hello; echo '{"event":"ready","port":7}'; sleep 30`);
    assert.deepEqual(await child.ready(), { event: "ready", port: 7 });
    await child.kill();
    assert.equal(child.hasEnded, true);
  });

  it("tells what was said by one that ended before it was ready", async () => {
    await assert.rejects(
      shell("echo cannot listen >&2; exit 1").ready(),
      /child did not become ready: it ended\n\s+cannot listen/,
    );
  });

  it("does not wait for ever", async () => {
    const child = shell("sleep 30");
    await assert.rejects(
      child.line(() => true, 100),
      /100 ms passed/,
    );
    await child.kill();
  });

  it("says that a program is not there", async () => {
    const child = new Child({ name: "child", command: ["/nowhere/at-all"], environment: {} });
    await assert.rejects(child.ready(), /did not become ready/);
  });

  it("is stopped by SIGTERM, and killed if it ignores that", async () => {
    const polite = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
    await polite.line((line) => line === "up", 5_000);
    await polite.stop();
    assert.ok(polite.stdout.includes("bye"));
    const stubborn = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
    await stubborn.line((line) => line === "up", 5_000);
    await stubborn.stop(200);
    assert.equal(stubborn.hasEnded, true);
  });
});
