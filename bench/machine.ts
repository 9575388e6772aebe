/** Where the figures come from: enough to judge them, nothing that names a host. */
import { readFileSync } from "node:fs";
import { availableParallelism, release, totalmem, type } from "node:os";
import { execFileSync } from "node:child_process";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGigabytes: number;
  readonly kernel: string;
  /** Commit that was measured, with "+" if files of `src` differ from it. */
  readonly commit: string;
}

export function describeMachine(): Machine {
  const model = /^model name\s*:\s*(.+)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown processor";
  return {
    cpu: model,
    cores: availableParallelism(),
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${/^\d+\.\d+/.exec(release())?.[0] ?? release()}`,
    commit: `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain", "--", "src") === "" ? "" : "+"}`,
  };
}

function git(...args: readonly string[]): string {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "";
  }
}
