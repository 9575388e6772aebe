import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { tempDir } from "./ports.ts";
import { currentRuntime, startProcess } from "./processes.ts";

const folder = tempDir();
after(() => folder.remove());

/** A script for the runtime that runs this test. */
function script(source: string): readonly [string, readonly string[]] {
  const path = join(folder.path, `${Math.random().toString(36).slice(2)}.mjs`);
  writeFileSync(path, source);
  return [currentRuntime, currentRuntime === "deno" ? ["run", "-A", path] : [path]];
}

describe("startProcess()", () => {
  it("reads the ready line, later lines of both streams, and the exit code of a drain", async () => {
    const child = startProcess(
      ...script(`
        process.on("SIGTERM", () => { console.error("draining"); setTimeout(() => process.exit(0), 20); });
        console.log(JSON.stringify({ event: "ready", pid: process.pid }));
        setInterval(() => {}, 1000);
      `),
    );
    assert.deepEqual(await child.ready(), { event: "ready", pid: child.pid });
    assert.equal(await child.stop(), 0);
    assert.equal(await child.line("drain"), "draining");
  });

  it("rejects ready() with stderr when the process ends first", async () => {
    const child = startProcess(...script(`console.error("port taken"); process.exit(1)`));
    await assert.rejects(child.ready(), /ended before its ready line[\s\S]*port taken/);
    assert.equal((await child.exit).code, 1);
  });

  it("rejects ready() when nothing is said in time, and kills what ignores SIGTERM", async () => {
    const child = startProcess(
      ...script(`process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.error("up")`),
    );
    await child.line("up");
    await assert.rejects(child.ready(50), /50 ms passed without its ready line/);
    assert.equal(await child.stop(100), null);
  });

  it("reports a program that does not exist instead of throwing", async () => {
    const exit = await startProcess("no-such-program-here", []).exit;
    assert.equal(exit.code, null);
    assert.match(exit.stderr, /ENOENT|not found|NotFound/i);
  });

  it("passes stdin and environment", async () => {
    const source = `process.stdin.on("data", (x) => console.log(String(x) + process.env.FM_X))`;
    const child = startProcess(...script(source), { stdin: "hello ", env: { FM_X: "world" } });
    assert.equal((await child.exit).stdout, "hello world");
  });
});
