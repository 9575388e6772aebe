/** How every long-running verb lives: one ready line on stdout, JSON log lines on stderr, a drain on the first signal. */
import { constants } from "node:os";
import process from "node:process";
import { systemClock } from "../clock.ts";
import { describeError } from "../errors.ts";
import { createLog, type Log } from "../observe/log.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { Output } from "./output.ts";

export type StopSignal = "SIGTERM" | "SIGINT" | "SIGHUP";

/** Writes a line that ends with a line feed to stderr; never blocks, whoever reads it. */
export function writeLog(line: string): void {
  currentRuntime().process.writeError(line);
}

/** Resolves when the lines so far are written: whoever ends the process waits for that, or the last ones are lost. */
export function logWritten(): Promise<void> {
  return currentRuntime().process.flushed();
}

/** JSON lines on stderr. */
export const serverLog: Log = createLog({ level: "info", clock: systemClock, write: writeLog });

export interface Serving {
  /** The ready line without `event`. */
  readonly ready: object;
  /** Finishes what is in flight, then lets go of everything. */
  readonly drain: () => Promise<void>;
}

/** Announces readiness, waits until asked to stop, drains. */
export async function serve(serving: Serving, stop: StopRequest, output: Output): Promise<number> {
  await output.value({ event: "ready", ...serving.ready });
  const signal = await stop.requested;
  serverLog.info("draining", { signal });
  await serving.drain();
  serverLog.info("stopped");
  return 0;
}

/**
 * Listens for the signals that ask a process to stop; a second one ends the process at once. Made before anything is
 * started, so that a signal during the start is not lost.
 */
export class StopRequest {
  readonly requested: Promise<StopSignal>;
  #requestedAtMs: number | null = null;

  /** `atOnce` is called by a second signal, before the process ends. */
  constructor(atOnce: () => void = () => {}) {
    let request: (signal: StopSignal) => void;
    this.requested = new Promise((resolve) => {
      request = resolve;
    });
    // A closed terminal is a request to stop as well: nothing of ours may be left running behind it.
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
      process.on(signal, () => {
        if (this.#requestedAtMs !== null) {
          // Supervisors such as `timeout` signal the process and then its group: that is one request, not two.
          if (performance.now() - this.#requestedAtMs < 50) return;
          atOnce();
          // The shell's convention for "ended by signal N".
          process.exit(128 + constants.signals[signal]);
        }
        this.#requestedAtMs = performance.now();
        request(signal);
      });
    }
    currentRuntime().process.onUncaught((error, isFatal) => {
      serverLog.error(isFatal ? "stopped by an error nobody caught" : "an error nobody caught", {
        error: describeError(error),
      });
    });
  }

  get isRequested(): boolean {
    return this.#requestedAtMs !== null;
  }

  /** `work`, or null if a stop was requested before it was done: a start that waits for a store can be interrupted. */
  async race<T>(work: Promise<T>): Promise<T | null> {
    return Promise.race([work, this.requested.then(() => null)]);
  }
}
