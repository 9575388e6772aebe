import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { before, describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import { eventually } from "./_bench.ts";
import { assertRuntime } from "./support.ts";

interface Program {
  readonly child: ChildProcess;
  output: string;
  errors: string;
  readonly ended: Promise<number | string>;
}

/** `_program.ts` on the runtime that runs this test. */
function start(task: string): Program {
  const file = join(import.meta.dirname, "_program.ts");
  const { name } = currentRuntime();
  const flags = name === "deno" ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...flags, file, task], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | string>((resolve) =>
    child.once("close", (code, signal) => resolve(code ?? signal ?? "")),
  );
  const program: Program = { child, output: "", errors: "", ended };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (program.output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (program.errors += text));
  return program;
}

describe("process", () => {
  const { process: control } = currentRuntime();
  before(() => void assertRuntime());

  it("onUncaught() survives rejections and socket errors, and reports anything else before the end", async () => {
    const program = start("uncaught");
    assert.equal(await program.ended, 1);
    assert.equal(program.output, "rejection survived\nsocket survived\nbug fatal\n");
  });

  it("flushed() waits for what was written, each line once and in order", async () => {
    const program = start("lines");
    assert.equal(await program.ended, 3);
    assert.equal(program.errors, Array.from({ length: 5_000 }, (_, i) => `line ${i}\n`).join(""));
  });

  it("writeError() to a reader that stopped costs lines, not memory or time", async () => {
    const program = start("flood");
    program.child.stderr!.pause();
    assert.equal(
      await Promise.race([program.ended, eventually(() => program.output.endsWith("}"), "the report")]),
      undefined,
    );
    const { dropped, residentBytes } = JSON.parse(program.output) as { dropped: number; residentBytes: number };
    assert.ok(dropped > 40_000, `${dropped} of 50000 lines dropped`);
    assert.ok(residentBytes < 300_000_000, `${residentBytes} bytes resident`);
    program.child.stderr!.resume();
    assert.equal(await program.ended, 0);
  });

  it("usage() grows with work and memory is what the system says", () => {
    const earlier = control.usage();
    // By the CPU's clock: on a busy machine the wall's says little.
    const giveUpAt = performance.now() + 10_000;
    while (control.usage().cpuSeconds - earlier.cpuSeconds < 0.02 && performance.now() < giveUpAt);
    const later = control.usage();
    assert.ok(later.cpuSeconds - earlier.cpuSeconds >= 0.02);
    assert.ok(later.residentBytes > 10_000_000);
    assert.ok(later.uptimeSeconds > 0);
  });
});

describe("currentRuntime()", () => {
  it("currentRuntime() is one object with a label that says name and version", () => {
    const name = assertRuntime();
    const runtime = currentRuntime();
    assert.equal(currentRuntime(), runtime);
    assert.equal(runtime.label, `${name} ${runtime.version}`);
    assert.equal(runtime.concern, null);
    assert.equal(runtime.transport.capabilities.runtime, runtime.label);
  });

  it("isOlder() compares numbers, not text", async () => {
    const { isOlder } = await import("../../src/runtime/version.ts");
    assert.equal(isOlder("1.4.5", "1.4.5"), false);
    assert.equal(isOlder("1.4.5-canary.1", "1.4.5"), false);
    assert.equal(isOlder("1.4.9", "1.4.10"), true);
    assert.equal(isOlder("20.20.2", "3.0.0"), false);
    assert.equal(isOlder("22", "22.0.1"), true);
  });
});
