/** Puts a system under load and says what came back. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startProcess } from "../tests/support/processes.ts";
import { benchPath } from "./documents.ts";

export interface Load {
  readonly method: "GET" | "POST";
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Answers other than 2xx, broken connections, timeouts: a round with any of them proves nothing. */
  readonly failures: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** What the application answers, and what a POST carries: 130 bytes. */
export const benchBody: string = JSON.stringify({ id: 42, name: "x".repeat(110) });

export function wrkVersion(): string | undefined {
  try {
    return /wrk (?:debian\/)?([\d.]+)/.exec(
      execFileSync("sh", ["-c", "wrk -v 2>&1 || true"], { encoding: "utf8" }),
    )?.[1];
  } catch {
    return undefined;
  }
}

/** As many requests as the system takes, from wrk. */
export async function saturate(folder: string, port: number, load: Load): Promise<LoadResult> {
  const script = join(folder, `wrk-${load.method}.lua`);
  writeFileSync(script, luaScript(load.method));
  const { connections, seconds } = load;
  const url = `http://127.0.0.1:${port}${benchPath}`;
  const wrk = startProcess("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, url]);
  const { code, stdout, stderr } = await wrk.exit;
  const line = stdout.split("\n").find((one) => one.startsWith("{"));
  if (code !== 0 || line === undefined) throw new Error(`wrk: ${stderr}${stdout}`);
  return JSON.parse(line) as LoadResult;
}

function luaScript(method: Load["method"]): string {
  return `wrk.method = "${method}"
wrk.headers["Host"] = "api"
wrk.headers["Accept"] = "application/json"
wrk.headers["User-Agent"] = "bench"
${method === "POST" ? `wrk.headers["Content-Type"] = "application/json"\nwrk.body = '${benchBody}'` : ""}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%f,"failures":%d,"p50Us":%d,"p99Us":%d}\\n', summary.requests,
    summary.duration / 1e6, e.status + e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
`;
}

/** A fixed rate whatever the system does: latency counts from when a request was due, so that no stall hides the next. */
export async function keepRate(port: number, rate: number, load: Load): Promise<LoadResult> {
  const program = join(import.meta.dirname, "rate-process.ts");
  const { method, connections, seconds } = load;
  const client = startProcess("node", [program, ...[port, rate, connections, seconds, method].map(String)]);
  const { code, stdout, stderr } = await client.exit;
  if (code !== 0) throw new Error(`the client of a fixed rate: ${stderr}`);
  return JSON.parse(stdout) as LoadResult;
}
