/** What the process says of itself: JSON lines with a level, to a sink that is given. Requests are the access log's. */
import type { Clock } from "../clock.ts";
import { describeError } from "../errors.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export const logLevels: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with fields that every line carries. */
  with(fields: LogFields): Log;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Gets one line with its line end. */
  readonly write: (line: string) => void;
}

export function createLog(options: LogOptions, fields: LogFields = {}): Log {
  const { clock, write } = options;
  const lowest = logLevels.indexOf(options.level);
  const at =
    (level: LogLevel) =>
    (message: string, more?: LogFields): void => {
      if (logLevels.indexOf(level) < lowest) return;
      const time = new Date(clock.epochMs()).toISOString();
      write(`${JSON.stringify({ time, level, message, ...fields, ...more }, readable)}\n`);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (more) => createLog(options, { ...fields, ...more }),
  };
}

/** For code that runs without anybody listening: tests, and the module at the edge. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};

/** Errors as the chain of their messages; JSON would make `{}` of them, and refuses bigints altogether. */
function readable(_key: string, value: unknown): unknown {
  if (value instanceof Error) return describeError(value);
  return typeof value === "bigint" ? String(value) : value;
}
