/** Child processes: the application of `run`, and the fleet of `demo`. */
import { spawn } from "node:child_process";
import process from "node:process";
import type { Readable } from "node:stream";
import { MeshError } from "../errors.ts";
import type { Child, ChildExit, SpawnOptions } from "./process.ts";
import { describeSystemError, systemCode } from "./socket-errors.ts";

const MAX_LINE_CHARACTERS = 65_536;

/** See `ProcessControl.spawn`. */
export function spawnChild(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Child> {
  const { env = {}, directory, onOutput, onErrorOutput } = options;
  const merged: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...process.env, ...env })) if (value !== undefined) merged[name] = value;
  return new Promise((resolve, reject) => {
    const refuse = (error: unknown): void => {
      const why = systemCode(error) === "ENOENT" ? "no such program" : describeSystemError(error);
      reject(new MeshError("ERR_OPTION_INVALID", `cannot start ${command}: ${why}`, { cause: error }));
    };
    let child: ReturnType<typeof spawn>;
    try {
      child = spawn(command, [...args], {
        env: merged,
        ...(directory !== undefined && { cwd: directory }),
        stdio: [
          "inherit",
          onOutput === undefined ? "inherit" : "pipe",
          onErrorOutput === undefined ? "inherit" : "pipe",
        ],
      });
    } catch (error) {
      return refuse(error);
    }
    let isRunning = true;
    // From `exit` on the number may be another process's.
    child.once("exit", () => (isRunning = false));
    const exited = new Promise<ChildExit>((settle) => {
      // `close` and not `exit`: the last lines are read by then.
      child.once("close", (code, signal) => settle({ code, signal }));
    });
    child.once("error", refuse);
    child.once("spawn", () => {
      if (child.stdout !== null && onOutput !== undefined) splitLines(child.stdout, onOutput);
      if (child.stderr !== null && onErrorOutput !== undefined) splitLines(child.stderr, onErrorOutput);
      resolve({
        pid: child.pid ?? 0,
        exited,
        kill(signal = "SIGTERM") {
          // Not `child.kill()`: Deno then reports that signal as the child's end, whatever it did, and sends no second one.
          if (isRunning && child.pid !== undefined) process.kill(child.pid, signal);
        },
      });
    });
  });
}

function splitLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARACTERS);
    for (const line of lines) onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
  stream.on("error", () => {});
}
