import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { backoffMs } from "../../src/policy/backoff.ts";
import { backendDefaults } from "../../src/policy/backend-config.ts";
import { RetryBudget } from "../../src/policy/retry-budget.ts";
import { seededRandom } from "../../src/random.ts";

const config = { ratio: 0.2, minPerSecond: 10, windowMs: 10_000 };

describe("RetryBudget", () => {
  it("allows ten a second to a quiet caller", () => {
    const budget = new RetryBudget(config);
    let taken = 0;
    while (budget.tryRepeat(5)) taken++;
    assert.equal(taken, 100);
    assert.equal(budget.tryRepeat(9_000), false);
    assert.equal(budget.tryRepeat(10_000), true);
  });

  it("allows a fifth of the traffic on top", () => {
    const budget = new RetryBudget({ ...config, minPerSecond: 0 });
    assert.equal(budget.tryRepeat(0), false);
    for (let i = 0; i < 1_000; i++) budget.request(i);
    let taken = 0;
    while (budget.tryRepeat(1_000)) taken++;
    assert.equal(taken, 200);
  });

  it("saves nothing up over an idle hour", () => {
    const budget = new RetryBudget(config);
    for (let i = 0; i < 10_000; i++) budget.request(i / 10);
    let taken = 0;
    while (budget.tryRepeat(3_600_000)) taken++;
    assert.equal(taken, 100);
  });

  it("applies a new config at once", () => {
    const budget = new RetryBudget(config);
    budget.configure({ ...config, minPerSecond: 0, ratio: 0 });
    budget.request(0);
    assert.equal(budget.tryRepeat(0), false);
    budget.configure({ ...config, windowMs: 1_000 });
    assert.equal(budget.tryRepeat(0), true);
  });

  it("never exceeds a fifth plus ten a second within its window, whatever happens", () => {
    const step = fc.record({
      isRepeat: fc.boolean(),
      count: fc.integer({ min: 1, max: 60 }),
      passMs: fc.integer({ min: 0, max: 3_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const budget = new RetryBudget(config);
        const requests: number[] = [];
        const repeats: number[] = [];
        let nowMs = 50_000;
        for (const { isRepeat, count, passMs } of steps) {
          nowMs += passMs;
          for (let i = 0; i < count; i++) {
            if (!isRepeat) {
              budget.request(nowMs);
              requests.push(nowMs);
            } else if (budget.tryRepeat(nowMs)) repeats.push(nowMs);
          }
          const fromMs = (Math.floor(nowMs / 1_000) - 9) * 1_000;
          const within = (times: number[]): number => times.filter((at) => at >= fromMs).length;
          // What was granted while more requests were in the window stays granted when those drop out of it.
          const granted = repeats.at(-1) === nowMs;
          if (granted) assert.ok(within(repeats) <= 0.2 * within(requests) + 100);
        }
      }),
    );
  });

  it("keeps amplification at 1.2 when everything fails (I18)", () => {
    const budget = new RetryBudget(config);
    let repeats = 0;
    const requests = 60_000;
    for (let i = 0; i < requests; i++) {
      budget.request(i);
      for (let attempt = 0; attempt < 2; attempt++) if (budget.tryRepeat(i)) repeats++;
    }
    assert.ok((requests + repeats) / requests <= 1.2 + (10 * 60) / requests + 0.01);
  });
});

describe("backoffMs()", () => {
  it("spreads over [0, (2^n - 1) x base), capped, on top of the least wait", () => {
    const { retry } = backendDefaults;
    const random = seededRandom(1);
    for (let repeat = 1; repeat <= 8; repeat++) {
      const bound = Math.min(250, (2 ** repeat - 1) * 25);
      const waits = Array.from({ length: 500 }, () => backoffMs(retry, repeat, random));
      assert.ok(Math.min(...waits) >= 0 && Math.max(...waits) < bound);
      assert.ok(Math.max(...waits) > 0.9 * bound && Math.min(...waits) < 0.1 * bound);
    }
    assert.ok(backoffMs({ ...retry, backoffMinMs: 100 }, 1, () => 0) === 100);
  });
});
