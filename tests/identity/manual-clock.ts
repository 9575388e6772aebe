/** A clock that stands still until a test moves it: timers fire in order, and what they start runs before the next one. */
import type { Clock } from "../../src/clock.ts";

interface Alarm {
  readonly atMs: number;
  readonly action: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #startMs = Date.now();
  #alarms: Alarm[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  epochMs(): number {
    return this.#startMs + this.#nowMs;
  }

  after(delayMs: number, action: () => void): { cancel(): void } {
    const alarm = { atMs: this.#nowMs + Math.max(0, delayMs), action };
    this.#alarms.push(alarm);
    return {
      cancel: () => {
        this.#alarms = this.#alarms.filter((one) => one !== alarm);
      },
    };
  }

  get pending(): number {
    return this.#alarms.length;
  }

  /** Moves on by `ms`, stopping at each timer for whatever it sets going: `settled` says when that is over. */
  async advance(ms: number, settled: () => Promise<void>): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#alarms.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#alarms = this.#alarms.filter((one) => one !== next);
      next.action();
      await settled();
    }
    this.#nowMs = untilMs;
  }
}
