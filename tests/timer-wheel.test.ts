import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Alarm, timerPerAlarm, TimerWheel } from "../src/timer-wheel.ts";
import { VirtualClock } from "./support/virtual-clock.ts";

class Bell extends Alarm {
  rangAtMs: number[] = [];
  readonly #onRing: () => void;

  constructor(onRing: () => void = () => {}) {
    super();
    this.#onRing = onRing;
  }

  override ring(nowMs: number): void {
    this.rangAtMs.push(nowMs);
    this.#onRing();
  }
}

describe("TimerWheel", () => {
  it("rings at the due time or up to a tick later, and once", () => {
    const clock = new VirtualClock(1_003);
    const wheel = new TimerWheel(clock);
    const bell = new Bell();
    wheel.set(bell, 1_503);
    clock.advance(499);
    assert.deepEqual(bell.rangAtMs, []);
    clock.advance(15);
    assert.equal(bell.rangAtMs.length, 1);
    clock.advance(60_000);
    assert.equal(bell.rangAtMs.length, 1);
  });

  it("turns only while something hangs on it", () => {
    const clock = new VirtualClock();
    const wheel = new TimerWheel(clock);
    const bell = new Bell();
    assert.equal(clock.pending, 0);
    wheel.set(bell, clock.nowMs() + 100);
    assert.equal(clock.pending, 1);
    wheel.cancel(bell);
    clock.advance(20);
    assert.equal(clock.pending, 0);
    wheel.set(bell, clock.nowMs() + 100);
    clock.advance(200);
    assert.equal(bell.rangAtMs.length, 1);
    assert.equal(clock.pending, 0);
  });

  it("lets an alarm set and cancel others while it rings", () => {
    const clock = new VirtualClock();
    const wheel = new TimerWheel(clock);
    const neighbour = new Bell();
    const later = new Bell();
    const first = new Bell(() => {
      wheel.cancel(neighbour);
      wheel.set(later, clock.nowMs());
      wheel.set(first, clock.nowMs() + 50);
    });
    wheel.set(first, 1_100);
    wheel.set(neighbour, 1_100);
    clock.advance(130);
    assert.equal(first.rangAtMs.length, 1);
    assert.equal(neighbour.rangAtMs.length, 0);
    assert.equal(later.rangAtMs.length, 1);
    clock.advance(60);
    assert.equal(first.rangAtMs.length, 2);
  });

  it("rings what a suspended machine slept through, in one turn", () => {
    let nowMs = 1_000;
    const turns: (() => void)[] = [];
    const wheel = new TimerWheel(
      { nowMs: () => nowMs, epochMs: () => 0, after: (_delayMs, action) => (turns.push(action), { cancel() {} }) },
      { slots: 16 },
    );
    const bells = [0, 100, 161, 5_000].map((afterMs) => {
      const bell = new Bell();
      wheel.set(bell, nowMs + afterMs);
      return bell;
    });
    nowMs += 1_000_000;
    turns.shift()!();
    for (const bell of bells) assert.equal(bell.rangAtMs.length, 1);
    assert.equal(wheel.size, 0);
    assert.equal(turns.length, 0);
  });

  it("keeps every promise, whatever is set, moved and cancelled", () => {
    const step = fc.record({
      alarm: fc.nat(7),
      delayMs: fc.integer({ min: -50, max: 1_000 }),
      isCancelled: fc.boolean(),
      passMs: fc.integer({ min: 0, max: 300 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const clock = new VirtualClock();
        const wheel = new TimerWheel(clock, { tickMs: 10, slots: 8 });
        const bells = Array.from({ length: 8 }, () => new Bell());
        const dueMs = new Map<Bell, number>();
        for (const { alarm, delayMs, isCancelled, passMs } of steps) {
          const bell = bells[alarm]!;
          if (isCancelled) {
            wheel.cancel(bell);
            dueMs.delete(bell);
          } else {
            bell.rangAtMs = [];
            wheel.set(bell, clock.nowMs() + delayMs);
            dueMs.set(bell, clock.nowMs() + delayMs);
          }
          clock.advance(passMs);
          for (const [each, due] of dueMs) {
            const rang = each.rangAtMs[0];
            assert.ok(each.rangAtMs.length <= 1);
            if (rang === undefined) assert.ok(clock.nowMs() - due < 20 || passMs < 20, "late");
            else {
              assert.ok(rang >= due, "early");
              dueMs.delete(each);
            }
          }
          assert.equal(wheel.size, dueMs.size);
        }
        clock.advance(2_000);
        for (const bell of dueMs.keys()) assert.equal(bell.rangAtMs.length, 1);
        assert.equal(wheel.size, 0);
      }),
      { numRuns: 500 },
    );
  });
});

describe("timerPerAlarm()", () => {
  it("rings at the due time, moves and calls off as a wheel does", () => {
    const clock = new VirtualClock();
    const alarms = timerPerAlarm(clock);
    const [bell, moved, off] = [new Bell(), new Bell(), new Bell()];
    alarms.set(bell, 1_100);
    alarms.set(moved, 1_100);
    alarms.set(moved, 1_300);
    alarms.set(off, 1_100);
    alarms.cancel(off);
    clock.advance(100);
    assert.deepEqual(bell.rangAtMs, [1_100]);
    assert.deepEqual(moved.rangAtMs, []);
    clock.advance(1_000);
    assert.equal(moved.rangAtMs.length, 1);
    assert.equal(off.rangAtMs.length, 0);
    assert.equal(clock.pending, 0);
  });
});
