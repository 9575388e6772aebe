/** Real `fetchmesh` processes: started by the launcher, waited for by their ready line, ended by their own pid. */

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

export type RuntimeName = "bun" | "deno" | "node";

const root: string = join(import.meta.dirname ?? "", "..", "..");

/** Which runtime executes this file. */
export const currentRuntime: RuntimeName = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";

export interface ProcessOptions {
  /** Runtime of the process. @default the one that runs the test */
  readonly runtime?: RuntimeName;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
}

export interface Exit {
  /** `null` if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a long-running verb prints when it is ready; the fields of each verb are in the manual. */
export type ReadyLine = Readonly<Record<string, unknown>> & { readonly event: "ready" };

export interface MeshProcess {
  readonly pid: number;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** Resolves once it has ended, in whichever way. */
  readonly exit: Promise<Exit>;
  /** The first stdout line, parsed. Rejects with everything on stderr if it ends, or says nothing, before that. */
  ready(timeoutMs?: number): Promise<ReadyLine>;
  /** Resolves with the first line, past or future, of either stream that contains `text`. */
  line(text: string, timeoutMs?: number): Promise<string>;
  signal(name: "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
  /** SIGTERM, then SIGKILL after `timeoutMs`. Resolves with the exit code (`null` if it had to be killed). */
  stop(timeoutMs?: number): Promise<number | null>;
}

/** Starts `fetchmesh ARGS…`. */
export function startFetchmesh(args: readonly string[], options: ProcessOptions = {}): MeshProcess {
  const env = { FETCHMESH_RUNTIME: options.runtime ?? currentRuntime, ...options.env };
  return startProcess(join(root, "bin/fetchmesh"), args, { ...options, env });
}

/** Runs a verb that ends by itself. */
export async function runFetchmesh(
  args: readonly string[],
  options: ProcessOptions = {},
  timeoutMs = 30_000,
): Promise<Exit> {
  const child = startFetchmesh(args, options);
  const timer = setTimeout(() => child.signal("SIGKILL"), timeoutMs);
  const exit = await child.exit;
  clearTimeout(timer);
  return exit;
}

/** Any program, with the same handles. `node`, `bun` and `deno` are found as the launcher finds them. */
export function startProcess(program: string, args: readonly string[], options: ProcessOptions = {}): MeshProcess {
  const path = `${join(root, ".cache/bin")}:${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`;
  const env = { ...process.env, PATH: path, NO_COLOR: "1", ...options.env };
  const child = spawn(program, [...args], { cwd: options.cwd ?? root, env, stdio: ["pipe", "pipe", "pipe"] });
  // A program that does not read its input is no failure of the test.
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  return watch(child, [program, ...args].join(" "));
}

function watch(child: ChildProcess, title: string): MeshProcess {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => waiting.forEach((check) => check());
  collectLines(child.stdout, stdout, wake);
  collectLines(child.stderr, stderr, wake);
  let ended = false;
  const exit = new Promise<Exit>((resolve) => {
    const finish = (code: number | null): void => {
      ended = true;
      resolve({ code, stdout: stdout.join("\n"), stderr: stderr.join("\n") });
      wake();
    };
    child.once("error", (error) => {
      stderr.push(String(error));
      finish(null);
    });
    child.once("close", finish);
  });

  const until = <T>(what: string, find: () => T | undefined, timeoutMs: number): Promise<T> =>
    new Promise((resolve, reject) => {
      const settle = (action: () => void): void => {
        clearTimeout(timer);
        waiting.delete(check);
        action();
      };
      const fail = (why: string): void =>
        settle(() =>
          reject(new Error(`${title}: ${why} ${what}\nstdout: ${stdout.join("\n")}\nstderr: ${stderr.join("\n")}`)),
        );
      const check = (): void => {
        const found = find();
        if (found !== undefined) settle(() => resolve(found));
        else if (ended) fail("ended before");
      };
      const timer = setTimeout(() => fail(`${timeoutMs} ms passed without`), timeoutMs);
      waiting.add(check);
      check();
    });

  // Not child.kill(): after it Deno reports a child that drained and exited with 0 as killed, and ignores a second signal.
  const signal: MeshProcess["signal"] = (name) => {
    try {
      if (!ended && child.pid !== undefined) process.kill(child.pid, name);
    } catch {
      // It has exited between the two.
    }
  };

  return {
    pid: child.pid ?? 0,
    stdout,
    stderr,
    exit,
    ready: async (timeoutMs = 15_000) => JSON.parse(await until("its ready line", () => stdout[0], timeoutMs)),
    line: (text, timeoutMs = 10_000) =>
      until(`a line with "${text}"`, () => [...stdout, ...stderr].find((one) => one.includes(text)), timeoutMs),
    signal,
    async stop(timeoutMs = 10_000) {
      const timer = setTimeout(() => signal("SIGKILL"), timeoutMs);
      signal("SIGTERM");
      const { code } = await exit;
      clearTimeout(timer);
      return code;
    },
  };
}

function collectLines(stream: ChildProcess["stdout"], lines: string[], wake: () => void): void {
  let rest = "";
  stream?.setEncoding("utf8");
  stream?.on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
    if (parts.length > 0) wake();
  });
  stream?.on("end", () => {
    if (rest !== "") lines.push(rest);
  });
}
