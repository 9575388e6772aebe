import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { before, describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import { findExecutable } from "../../src/runtime/exec.ts";
import { eventually, pause } from "./_bench.ts";
import { assertRuntime } from "./support.ts";

interface Program {
  readonly child: ChildProcess;
  output: string;
  readonly ended: Promise<number | string>;
}

/** `_program.ts` on the runtime that runs this test. */
function start(...args: string[]): Program {
  const file = join(import.meta.dirname, "_program.ts");
  const { name } = currentRuntime();
  const flags = name === "deno" ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...flags, file, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<number | string>((resolve) =>
    child.once("close", (code, signal) => resolve(code ?? signal ?? "")),
  );
  const program: Program = { child, output: "", ended };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (program.output += text));
  return program;
}

async function ready(program: Program): Promise<void> {
  await eventually(() => program.output.includes("ready"), "ready");
  // Deno installs a signal handler a moment after it was asked to.
  await pause(200);
}

describe("process", () => {
  const { process: control } = currentRuntime();
  before(() => void assertRuntime());

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`onTermination() drains on ${signal} and exits 0`, async () => {
      const program = start("drain");
      await ready(program);
      process.kill(program.child.pid!, signal);
      assert.equal(await program.ended, 0);
      assert.equal(program.output, `ready\ndraining on ${signal}\ndrained\n`);
    });
  }

  it("onTermination() exits at once on a second signal", async () => {
    const program = start("drain", "forever");
    await ready(program);
    process.kill(program.child.pid!, "SIGTERM");
    await eventually(() => program.output.includes("draining"), "draining");
    process.kill(program.child.pid!, "SIGTERM");
    assert.equal(await program.ended, 143);
  });

  it("onTermination() exits 1 if draining fails", async () => {
    const program = start("drain", "badly");
    await ready(program);
    process.kill(program.child.pid!, "SIGTERM");
    assert.equal(await program.ended, 1);
  });

  it("onUncaught() survives rejections and socket errors, and reports anything else before the end", async () => {
    const program = start("uncaught");
    assert.equal(await program.ended, 1);
    assert.equal(program.output, "rejection survived\nsocket survived\nbug fatal\n");
  });

  it("exit() waits for what was written, each line once and in order", async () => {
    const program = start("lines");
    assert.equal(await program.ended, 3);
    assert.equal(program.output, Array.from({ length: 5_000 }, (_, i) => `line ${i}\n`).join(""));
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

  it("readInput() gives stdin and args what follows the script", async () => {
    const program = start("input", "-f", "-");
    program.child.stdin!.end("kind: Service\n");
    assert.equal(await program.ended, 0);
    assert.deepEqual(JSON.parse(program.output), ["kind: Service\n", ["input", "-f", "-"]]);
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

  it("spawn() hands over environment, directory, lines and the exit code", async () => {
    const lines: string[] = [];
    const errorLines: string[] = [];
    const script = 'echo "$GREETING"; pwd; printf "no end"; echo oops >&2; exit 7';
    const directory = mkdtempSync(join(tmpdir(), "fetchmesh-"));
    const child = await control.spawn("sh", ["-c", script], {
      env: { GREETING: "hello" },
      directory,
      onOutput: (line) => lines.push(line),
      onErrorOutput: (line) => errorLines.push(line),
    });
    assert.ok(child.pid > 0);
    assert.deepEqual(await child.exited, { code: 7, signal: null });
    assert.deepEqual(lines, ["hello", directory, "no end"]);
    assert.deepEqual(errorLines, ["oops"]);
  });

  it("spawn() forwards signals, and says what cannot be started", async () => {
    const child = await control.spawn("sleep", ["60"]);
    child.kill("SIGTERM");
    assert.deepEqual(await child.exited, { code: null, signal: "SIGTERM" });
    child.kill();
    await assert.rejects(control.spawn("no-such-program", []), {
      code: "ERR_OPTION_INVALID",
      message: "cannot start no-such-program: no such program",
    });
  });

  it("findExecutable() takes the first that can be run, and never the current directory by accident", () => {
    const folder = mkdtempSync(join(tmpdir(), "fetchmesh-"));
    const [first, second] = [join(folder, "first"), join(folder, "second")];
    for (const path of [first, second]) {
      mkdirSync(path);
      writeFileSync(join(path, "tool"), "#!/bin/sh\n");
    }
    chmodSync(join(second, "tool"), 0o755);
    mkdirSync(join(first, "folder"));
    assert.equal(findExecutable("tool", [], `${first}:${second}`), join(second, "tool"));
    assert.equal(findExecutable("tool", [second], ""), join(second, "tool"));
    assert.equal(findExecutable("folder", [first], ""), null);
    assert.equal(findExecutable("tool", [], ":.:relative"), null);
    assert.equal(findExecutable(join(second, "tool"), [], ""), join(second, "tool"));
    assert.equal(findExecutable(join(first, "tool"), [], ""), null);
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
