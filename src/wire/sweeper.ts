/** The wire's only timer: one coarse tick for all connections, instead of a timer armed and cleared per request. */
import type { Clock, Timer } from "../clock.ts";

/** Something with a deadline that moves often and is rarely reached. */
export interface Expiring {
  /** Clock.nowMs() after which `expired` is called; Infinity: never. Set it freely, nothing needs to be told. */
  deadlineMs: number;
  expired(nowMs: number): void;
}

/**
 * Looks at every member once per tick. A deadline is noticed up to one tick late, which no limit of ours minds, and moving
 * one is a single store.
 */
export class Sweeper {
  /** Time of the last tick: free to read, at most `tickMs` old. */
  nowMs: number;
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #members = new Set<Expiring>();
  #timer: Timer | null = null;

  /** @param tickMs 100: the shortest wire timeout in use is 1 s, and 10 000 members cost about 50 µs a sweep */
  constructor(clock: Clock, tickMs = 100) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.nowMs = clock.nowMs();
  }

  add(member: Expiring): void {
    this.#members.add(member);
    if (this.#timer !== null) return;
    // The tick sleeps while there is nobody to watch, so the time it last saw may be old.
    this.nowMs = this.#clock.nowMs();
    this.#timer = this.#clock.after(this.#tickMs, this.#tick);
  }

  delete(member: Expiring): void {
    this.#members.delete(member);
  }

  get size(): number {
    return this.#members.size;
  }

  readonly #tick = (): void => {
    const nowMs = this.#clock.nowMs();
    this.nowMs = nowMs;
    for (const member of this.#members) if (member.deadlineMs <= nowMs) member.expired(nowMs);
    this.#timer = this.#members.size === 0 ? null : this.#clock.after(this.#tickMs, this.#tick);
  };
}
