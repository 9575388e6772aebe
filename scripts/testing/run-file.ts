/** Runs one test file on one runtime, in a process group of its own, and never takes silence for success. */

import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseJunit, type TestCase } from "./junit.ts";
import { root, type Runtime } from "./runtimes.ts";

export interface FileResult {
  readonly file: string;
  readonly runtime: Runtime;
  readonly cases: readonly TestCase[];
  readonly seconds: number;
  /** Processes that the file left running; they have been killed. */
  readonly leftProcesses: boolean;
}

interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
  readonly timedOut: boolean;
  readonly leftProcesses: boolean;
}

/** Enough to hold any stack trace, little enough to read. */
const outputLimit = 20_000;

const groups = new Set<number>();

/** For a runner that is interrupted: its children are group leaders, so the terminal's Ctrl-C does not reach them. */
export function killRunning(): void {
  for (const group of groups) killGroup(group);
}

export async function runFile(file: string, runtime: Runtime, timeoutMs: number, reports: string): Promise<FileResult> {
  const startedMs = performance.now();
  const report = join(reports, `${runtime.name}-${file.replaceAll("/", "-")}.xml`);
  rmSync(report, { force: true });
  const ending = await execute(runtime.command(file, report, timeoutMs), timeoutMs);
  const cases = judge(file, readReport(report, file), ending, timeoutMs);
  const seconds = (performance.now() - startedMs) / 1000;
  return { file, runtime, cases, seconds, leftProcesses: ending.leftProcesses };
}

function execute([program = "", ...args]: readonly string[], timeoutMs: number): Promise<Ending> {
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, NODE_OPTIONS: undefined };
    const child = spawn(program, args, { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let timedOut = false;
    let leftProcesses = false;
    const collect = (chunk: string): void => void (output = (output + chunk).slice(-outputLimit));
    child.stdout.setEncoding("utf8").on("data", collect);
    child.stderr.setEncoding("utf8").on("data", collect);
    const group = child.pid ?? 0;
    if (group > 0) groups.add(group);
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(group);
    }, timeoutMs);
    child.on("error", (error) => collect(String(error)));
    child.on("exit", () => {
      leftProcesses = killGroup(group) && !timedOut;
      // One that has left the group too may hold the pipes open for ever.
      setTimeout(() => [child.stdout, child.stderr].forEach((pipe) => pipe.destroy()), 1000).unref();
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      groups.delete(group);
      resolve({ code, signal, output, timedOut, leftProcesses });
    });
  });
}

/** True if there was anything left to kill. */
function killGroup(group: number): boolean {
  try {
    return group > 0 && process.kill(-group, "SIGKILL");
  } catch {
    return false;
  }
}

function readReport(report: string, file: string): TestCase[] | undefined {
  try {
    return parseJunit(readFileSync(report, "utf8"), file);
  } catch {
    return undefined;
  }
}

/** Adds one failure where the report does not tell the whole story, named after the file. */
function judge(file: string, report: TestCase[] | undefined, ending: Ending, timeoutMs: number): TestCase[] {
  const cases = report ?? [];
  const fail = (why: string): TestCase[] => {
    return [...cases, { name: file, outcome: "failed", detail: `${why}\n${ending.output.trim()}`.trim() }];
  };
  if (ending.timedOut) return fail(`The file did not end within ${Math.round(timeoutMs / 1000)} s and was killed.`);
  const exit = ending.signal ?? `exit code ${ending.code}`;
  if (report === undefined) return fail(`The process ended (${exit}) without finishing its tests.`);
  if (ending.code !== 0 && !cases.some((one) => one.outcome === "failed"))
    return fail(`Failed outside its tests (${exit}).`);
  if (cases.length === 0)
    return fail("The file declares no test. Where it does not apply, declare one with { skip: reason }.");
  return cases;
}
