/**
 * One JSON line per request, in batches. The query is left out: it is where tokens and names of people are.
 *
 * Every value that a caller can choose goes through `JSON.stringify`, so no CR, LF or quote of theirs begins a new line or
 * field (Envoy 2024-006).
 */
import type { Clock, Timer } from "../clock.ts";
import { describeError, type MeshError } from "../errors.ts";
import type { Direction, Exchange } from "../exchange.ts";
import type { Events } from "./events.ts";
import { flagsOf } from "./flags.ts";

/** `errors`: status 400 and above, and whatever has a flag. */
export type AccessLogMode = "off" | "errors" | "all";

export interface AccessLogOptions {
  readonly mode: AccessLogMode;
  readonly clock: Clock;
  /** Gets whole lines, each with its line end. */
  readonly write: (lines: string) => void;
  /** A line waits at most so long. @default 200 */
  readonly flushMs?: number;
  /** Lines that are written together at most. @default 64 */
  readonly batchLines?: number;
}

export interface AccessLog {
  readonly events: Events;
  /** Writes what is waiting: on drain and before exit. */
  flush(): void;
}

export function createAccessLog(options: AccessLogOptions): AccessLog {
  const { mode, clock, write, flushMs = 200, batchLines = 64 } = options;
  const stamp = stamper();
  let lines = "";
  let count = 0;
  let timer: Timer | null = null;

  const flush = (): void => {
    timer?.cancel();
    timer = null;
    if (count === 0) return;
    const batch = lines;
    lines = "";
    count = 0;
    write(batch);
  };

  if (mode === "off") return { events: {}, flush };
  const add = (line: string): void => {
    lines += line;
    if (++count >= batchLines) flush();
    else timer ??= clock.after(flushMs, flush);
  };
  const events: Events = {
    requestFinished(x) {
      if (mode === "errors" && x.status < 400 && x.flag === "") return;
      const tookMs = clock.nowMs() - x.startedAtMs;
      add(accessLine(x, tookMs, stamp(clock.epochMs() - tookMs)));
    },
    requestRefused(direction, error, remoteAddress) {
      add(refusedLine(direction, error, remoteAddress, stamp(clock.epochMs())));
    },
  };
  return { events, flush };
}

/** What is known of bytes that never became a request. */
function refusedLine(direction: Direction, error: MeshError, remoteAddress: string, timestamp: string): string {
  const line = `{"timestamp":"${timestamp}","direction":"${direction}","status":${error.status},"flag":"${error.flag}"`;
  return `${line},"error":"${error.code}"${text("reason", describeError(error))}${text("remote", remoteAddress)}}\n`;
}

/** The line, ended by "\n". Absent facts are left out rather than null: most requests have few of them. */
export function accessLine(x: Exchange, tookMs: number, timestamp: string): string {
  const { head } = x;
  let line = `{"timestamp":"${timestamp}","direction":"${x.direction}"`;
  line += text("method", head.method) + text("path", head.path) + text("authority", head.authority);
  line += `,"status":${x.status}`;
  const flags = flagsOf(x);
  if (flags !== "") line += `,"flag":"${flags}"`;
  const error = x.error ?? x.aborted;
  if (error !== null) line += `,"error":"${error.code}"${text("reason", describeError(error))}`;
  line += `,"duration_ms":${round(tookMs)}`;
  if (x.respondedAtMs > 0) line += `,"upstream_ms":${round(x.respondedAtMs - x.startedAtMs)}`;
  line += `,"bytes_received":${x.bytesReceived},"bytes_sent":${x.bytesSent}`;
  if (x.requestId !== "") line += text("request_id", x.requestId);
  if (x.traceId !== "") line += `,"trace_id":"${x.traceId}"`;
  const peer = x.connection.peer;
  if (peer !== null) line += text("peer", peer.id.text);
  line += text("remote", x.connection.remoteAddress);
  if (x.cluster !== null) line += text("service", x.cluster.key);
  if (x.route !== null) line += text("route", x.route.rule.name);
  if (x.endpoint !== null) line += text("endpoint", x.endpoint.record.address);
  if (x.attempt > 0) line += `,"attempts":${x.attempt}`;
  line += `,"config_version":${x.snapshot.version}`;
  const agent = head.get("user-agent");
  if (agent !== null) line += text("user_agent", agent);
  return `${line}}\n`;
}

function text(key: string, value: string): string {
  return `,"${key}":${JSON.stringify(value)}`;
}

/** Microseconds are as fine as a clock in a busy process means. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** RFC 3339 in UTC with milliseconds. All but the last digits are the same for a second's worth of lines. */
function stamper(): (epochMs: number) => string {
  let second = NaN;
  let lead = "";
  return (epochMs) => {
    const ms = Math.floor(epochMs);
    const now = Math.floor(ms / 1000);
    if (now !== second) {
      second = now;
      lead = new Date(now * 1000).toISOString().slice(0, 20);
    }
    return `${lead}${String(ms - now * 1000).padStart(3, "0")}Z`;
  };
}
