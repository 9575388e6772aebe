/** Time that passes when told to: timers fire in order of their due time, and promises settle in between. */
import type { Clock, Timer } from "../../src/clock.ts";

interface Pending {
  readonly dueMs: number;
  readonly order: number;
  readonly action: () => void;
}

export class VirtualClock implements Clock {
  #nowMs: number;
  readonly #epochStartMs: number;
  readonly #startMs: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  /** @param epochMs what the wall shows at the start; monotonic time starts elsewhere, so that mixing them up shows */
  constructor(startMs = 1_000, epochMs: number = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
    this.#nowMs = startMs;
    this.#epochStartMs = epochMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  epochMs(): number {
    return this.#epochStartMs + (this.#nowMs - this.#startMs);
  }

  after(delayMs: number, action: () => void): Timer {
    const pending = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, action };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Lets `ms` pass synchronously: what timers do at once is seen, what they do through promises is not. */
  advance(ms: number): void {
    const targetMs = this.#nowMs + ms;
    for (let next = this.#next(targetMs); next !== null; next = this.#next(targetMs)) this.#fire(next);
    this.#nowMs = targetMs;
  }

  /** Lets `ms` pass, and everything that waits for a promise go on after every timer. */
  async pass(ms: number): Promise<void> {
    const targetMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#next(targetMs); next !== null; next = this.#next(targetMs)) {
      this.#fire(next);
      await settle();
    }
    this.#nowMs = targetMs;
    await settle();
  }

  #next(targetMs: number): Pending | null {
    let next: Pending | null = null;
    for (const pending of this.#pending) {
      if (pending.dueMs > targetMs) continue;
      if (next === null || pending.dueMs < next.dueMs || (pending.dueMs === next.dueMs && pending.order < next.order))
        next = pending;
    }
    return next;
  }

  #fire(pending: Pending): void {
    this.#pending.delete(pending);
    this.#nowMs = Math.max(this.#nowMs, pending.dueMs);
    pending.action();
  }
}

/** Lets everything that is ready to go on do so: promise chains of our layers are far shorter than this. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 25; i++) await Promise.resolve();
}
