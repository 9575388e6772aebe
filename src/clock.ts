/**
 * Time as policies see it. Nothing in policy/, balance/, route/ or control/ reads the real clock, so a fleet can be
 * simulated deterministically.
 */

/** A timer that can be called off. `cancel` after it fired is harmless. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds: for durations, deadlines and windows. Never compare with another process's. */
  nowMs(): number;
  /** Wall-clock milliseconds since the epoch: for certificates, leases others read, and logs. */
  epochMs(): number;
  /** Calls `action` once after `delayMs`; does not keep the process alive. */
  after(delayMs: number, action: () => void): Timer;
}

/** The real clock. Timers are unref'd where the runtime knows how: a mesh never keeps a finished program alive. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  epochMs: () => Date.now(),
  after(delayMs, action) {
    const handle: unknown = setTimeout(action, Math.max(0, delayMs));
    if (typeof handle === "object" && handle !== null && "unref" in handle && typeof handle.unref === "function")
      handle.unref();
    return { cancel: () => clearTimeout(handle as number) };
  },
};

/** Waits `delayMs`, or until `signal` aborts (then resolves early; the caller looks at its own state). */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}
