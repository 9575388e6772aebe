/**
 * Deadlines of thousands of requests on one timer: arming and calling off are two pointer writes, and the wheel only turns
 * while something hangs on it.
 */
import type { Clock, Timer } from "./clock.ts";

/** Something that rings unless it is called off. Subclass it and keep one per request: no closure, no handle. */
export abstract class Alarm {
  /** Clock.nowMs() at which it rings; meaningless while off. */
  dueMs = Infinity;
  /** Intrusive list of the slot: written by the wheel only. `null` while off. */
  next: Alarm | null = null;
  previous: Alarm | null = null;

  abstract ring(nowMs: number): void;
}

/** Where alarms are set; a `TimerWheel` is one. */
export interface Alarms {
  set(alarm: Alarm, dueMs: number): void;
  cancel(alarm: Alarm): void;
}

/**
 * One timer per alarm: for platforms where a timer belongs to the request that made it and dies with it (workerd), so that
 * nothing may hang on another request's.
 */
export function timerPerAlarm(clock: Clock): Alarms {
  const timers = new WeakMap<Alarm, Timer>();
  const cancel = (alarm: Alarm): void => {
    timers.get(alarm)?.cancel();
    timers.delete(alarm);
  };
  return {
    set(alarm, dueMs) {
      cancel(alarm);
      alarm.dueMs = dueMs;
      timers.set(
        alarm,
        clock.after(dueMs - clock.nowMs(), () => {
          timers.delete(alarm);
          alarm.ring(clock.nowMs());
        }),
      );
    },
    cancel,
  };
}

/** The head of a slot's ring; it never rings. */
class Slot extends Alarm {
  constructor() {
    super();
    this.next = this;
    this.previous = this;
  }

  override ring(): void {}
}

export interface TimerWheelOptions {
  /** How late an alarm may ring. @default 10 */
  readonly tickMs?: number;
  /** 2048 slots of 10 ms make one turn longer than the default deadline of 15 s, so most alarms are looked at once. @default 2048 */
  readonly slots?: number;
}

/** A hashed wheel (Varghese and Lauck, scheme 6). An alarm rings at its due time or up to one tick later, never earlier. */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: readonly Slot[];
  readonly #due = new Slot();
  /** Ticks turned so far, counted from the clock's zero. */
  #tick = 0;
  #size = 0;
  #isTurning = false;

  constructor(clock: Clock, options: TimerWheelOptions = {}) {
    this.#clock = clock;
    this.#tickMs = options.tickMs ?? 10;
    this.#slots = Array.from({ length: options.slots ?? 2048 }, () => new Slot());
  }

  /** Alarms that have not rung. */
  get size(): number {
    return this.#size;
  }

  /** Arms `alarm`, moving it if it was armed already. */
  set(alarm: Alarm, dueMs: number): void {
    if (alarm.next === null) this.#size++;
    else unlink(alarm);
    if (!this.#isTurning) {
      this.#isTurning = true;
      this.#tick = Math.floor(this.#clock.nowMs() / this.#tickMs);
      this.#clock.after(this.#tickMs, this.#turn);
    }
    alarm.dueMs = dueMs;
    // What is due already rings at the next turn; what lies behind the current tick would otherwise wait a whole round.
    const tick = Math.max(Math.ceil(dueMs / this.#tickMs), this.#tick + 1);
    link(alarm, this.#slots[tick % this.#slots.length]!);
  }

  /** Calls `alarm` off. Harmless if it rang or was never set. */
  cancel(alarm: Alarm): void {
    if (alarm.next === null) return;
    unlink(alarm);
    this.#size--;
  }

  readonly #turn = (): void => {
    const nowMs = this.#clock.nowMs();
    const reached = Math.floor(nowMs / this.#tickMs);
    // After a long pause (a suspended machine) one look at every slot is enough.
    const from = Math.max(this.#tick + 1, reached - this.#slots.length + 1);
    this.#tick = Math.max(this.#tick, reached);
    for (let tick = from; tick <= reached; tick++) this.#ringSlot(this.#slots[tick % this.#slots.length]!, nowMs);
    this.#isTurning = this.#size > 0;
    if (this.#isTurning) this.#clock.after(this.#tickMs, this.#turn);
  };

  #ringSlot(slot: Slot, nowMs: number): void {
    // Taken out first: an alarm that rings may set or cancel any other, its neighbour included.
    const due = this.#due;
    for (let alarm = slot.next!; alarm !== slot;) {
      const next = alarm.next!;
      if (alarm.dueMs <= nowMs) {
        unlink(alarm);
        link(alarm, due);
      }
      alarm = next;
    }
    for (let alarm = due.next!; alarm !== due; alarm = due.next!) {
      this.cancel(alarm);
      alarm.ring(nowMs);
    }
  }
}

function link(alarm: Alarm, slot: Slot): void {
  const last = slot.previous!;
  last.next = alarm;
  alarm.previous = last;
  alarm.next = slot;
  slot.previous = alarm;
}

function unlink(alarm: Alarm): void {
  alarm.previous!.next = alarm.next;
  alarm.next!.previous = alarm.previous;
  alarm.next = null;
  alarm.previous = null;
}
