import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { backendDefaults } from "../../src/policy/backend-config.ts";
import {
  abandoned,
  createBreaker,
  failed,
  forceClosed,
  forceOpen,
  isProbeDue,
  openByQuorum,
  reset,
  retimeQuorum,
  startProbe,
  succeeded,
  type BreakerChange,
  type BreakerConfig,
  type BreakerState,
} from "../../src/policy/breaker.ts";
import { SlidingWindow } from "../../src/policy/window.ts";
import { seededRandom } from "../../src/random.ts";

const config: BreakerConfig = backendDefaults.breaker;
const noJitter = (): number => 0;

function fail(state: BreakerState, nowMs: number, times = 1): BreakerChange | null {
  let change: BreakerChange | null = null;
  for (let i = 0; i < times; i++) change = failed(state, config, nowMs, noJitter) ?? change;
  return change;
}

describe("a breaker", () => {
  it("opens at the fifth failure in a row", () => {
    const state = createBreaker();
    assert.equal(fail(state, 0, 4), null);
    assert.deepEqual(fail(state, 10), { from: "closed", to: "open", source: "local" });
    assert.deepEqual(state.current, { kind: "open", untilMs: 30_010, source: "local" });
  });

  it("starts counting again after a success, and after a pause longer than the window", () => {
    const state = createBreaker();
    fail(state, 0, 4);
    succeeded(state, config, 1);
    assert.equal(fail(state, 2, 4), null);
    assert.equal(fail(state, 20_000, 4), null);
    assert.equal(state.current.kind, "closed");
  });

  it("opens at half of enough answers, not of a few", () => {
    const state = createBreaker();
    for (let i = 0; i < 9; i++) {
      succeeded(state, config, i);
      assert.equal(fail(state, i), null);
    }
    succeeded(state, config, 9);
    assert.equal(fail(state, 9)?.to, "open");
  });

  it("forgets answers older than its window", () => {
    const state = createBreaker();
    for (let i = 0; i < 9; i++) {
      succeeded(state, config, 0);
      fail(state, 0);
    }
    succeeded(state, config, 10_001);
    assert.equal(fail(state, 10_001), null);
  });

  it("admits one probe when its time is up, and closes at its success", () => {
    const state = createBreaker();
    fail(state, 0, 5);
    assert.equal(isProbeDue(state, 29_999), false);
    assert.equal(isProbeDue(state, 30_000), true);
    assert.deepEqual(startProbe(state, 30_000), { from: "open", to: "half-open", source: "local" });
    assert.equal(isProbeDue(state, 30_001), false);
    assert.deepEqual(succeeded(state, config, 30_002), { from: "half-open", to: "closed", source: "local" });
    assert.equal(fail(state, 30_003, 4), null);
  });

  it("opens again for longer when the probe fails, up to the cap", () => {
    const state = createBreaker();
    let nowMs = 0;
    fail(state, nowMs, 5);
    for (let n = 2; n <= 15; n++) {
      nowMs = state.current.kind === "open" ? state.current.untilMs : assert.fail();
      startProbe(state, nowMs);
      assert.equal(fail(state, nowMs)?.to, "open");
      assert.equal(state.current.kind === "open" && state.current.untilMs - nowMs, Math.min(300_000, 30_000 * n));
    }
  });

  it("spreads the end of an opening by a tenth", () => {
    const state = createBreaker();
    for (let i = 0; i < 5; i++) failed(state, config, 0, () => 0.999_999);
    assert.ok(state.current.kind === "open" && state.current.untilMs > 32_900 && state.current.untilMs < 33_000);
  });

  it("pays openings back by time spent closed", () => {
    const state = createBreaker();
    fail(state, 0, 5);
    startProbe(state, 30_000);
    succeeded(state, config, 30_000);
    fail(state, 30_001, 5);
    assert.equal(state.openings, 2);
    startProbe(state, 100_000);
    succeeded(state, config, 100_000);
    fail(state, 1_000_000, 5);
    assert.equal(state.openings, 1);
  });

  it("lets another request probe if the first says nothing", () => {
    const state = createBreaker();
    fail(state, 0, 5);
    startProbe(state, 30_000);
    abandoned(state);
    assert.equal(isProbeDue(state, 30_001), true);
    assert.equal(startProbe(state, 30_001), null);
    assert.equal(isProbeDue(state, 30_001), false);
  });

  it("closes when it is served all the same and answers well", () => {
    const state = createBreaker();
    fail(state, 0, 5);
    assert.equal(fail(state, 1), null);
    assert.equal(succeeded(state, config, 2)?.to, "closed");
  });

  it("believes a quorum only while closed, and returns through a probe when the votes lapse", () => {
    const state = createBreaker();
    assert.deepEqual(openByQuorum(state, 5_000, 0), { from: "closed", to: "open", source: "quorum" });
    assert.equal(openByQuorum(state, 9_000, 1), null);
    retimeQuorum(state, 2_000);
    assert.equal(isProbeDue(state, 2_000), true);
    assert.deepEqual(startProbe(state, 2_000), { from: "open", to: "half-open", source: "quorum" });
    assert.deepEqual(fail(state, 2_001), { from: "half-open", to: "open", source: "local" });
    retimeQuorum(state, 2_002);
    assert.equal(isProbeDue(state, 2_002), false);
  });

  it("obeys an operator against all evidence until the order expires", () => {
    const open = createBreaker();
    assert.deepEqual(forceOpen(open, 1_000, 0), { from: "closed", to: "open", source: "forced" });
    assert.equal(succeeded(open, config, 10), null);
    assert.equal(forceOpen(open, 2_000, 20), null);
    assert.equal(isProbeDue(open, 1_500), false);
    assert.equal(isProbeDue(open, 2_000), true);

    const pinned = createBreaker();
    fail(pinned, 0, 5);
    assert.deepEqual(forceClosed(pinned, 1_000, 1), { from: "open", to: "closed", source: "forced" });
    assert.equal(fail(pinned, 2, 50), null);
    assert.equal(openByQuorum(pinned, 9_000, 3), null);
    assert.equal(pinned.source, "forced");
    assert.equal(fail(pinned, 1_001, 5)?.to, "open");
    assert.equal(pinned.source, "local");
  });

  it("starts anew on reset", () => {
    const state = createBreaker();
    fail(state, 0, 5);
    assert.equal(reset(state, 1)?.to, "closed");
    assert.equal(fail(state, 2, 4), null);
    assert.equal(state.openings, 0);
  });

  it("never lasts forever, never probes twice at once, and only opens on failures, votes or orders", () => {
    type Step = { readonly act: number; readonly passMs: number };
    const steps = fc.array(fc.record<Step>({ act: fc.nat(8), passMs: fc.constantFrom(0, 1, 500, 9_000, 40_000) }), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(steps, fc.nat(), (script, seed) => {
        const state = createBreaker();
        const random = seededRandom(seed);
        let nowMs = 0;
        let probes = 0;
        for (const { act, passMs } of script) {
          nowMs += passMs;
          const before = state.current;
          const generation = state.generation;
          let change: BreakerChange | null = null;
          if (act <= 2) change = failed(state, config, nowMs, random);
          else if (act === 3) change = succeeded(state, config, nowMs);
          else if (act === 4 && isProbeDue(state, nowMs)) {
            assert.equal(probes, 0);
            change = startProbe(state, nowMs);
            probes = 1;
          } else if (act === 5) change = openByQuorum(state, nowMs + 60_000, nowMs);
          else if (act === 6) change = forceOpen(state, nowMs + 5_000, nowMs);
          else if (act === 7) change = forceClosed(state, nowMs + 5_000, nowMs);
          else if (act === 8) {
            abandoned(state);
            probes = 0;
          }
          if (state.current.kind !== "half-open") probes = 0;
          if (change !== null) {
            assert.equal(change.from, before.kind);
            assert.equal(change.to, state.current.kind);
            assert.ok(state.generation > generation);
          }
          if (state.current.kind === "open") assert.ok(state.current.untilMs - nowMs <= 330_000);
          if (change?.to === "open") assert.ok(act <= 2 || act === 5 || act === 6);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("SlidingWindow", () => {
  it("counts what lies within it, to a tenth", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 2_000 })), { maxLength: 100 }), (steps) => {
        const window = new SlidingWindow(10_000);
        const events: { isFirst: boolean; atMs: number }[] = [];
        let nowMs = 12_345;
        for (const [isFirst, passMs] of steps) {
          nowMs += passMs;
          if (isFirst) window.addFirst(nowMs);
          else window.addSecond(nowMs);
          events.push({ isFirst, atMs: nowMs });
          const oldest = Math.floor(nowMs / 1_000) - 9;
          const within = events.filter(({ atMs }) => Math.floor(atMs / 1_000) >= oldest);
          assert.equal(window.first, within.filter((each) => each.isFirst).length);
          assert.equal(window.second, within.filter((each) => !each.isFirst).length);
        }
      }),
    );
  });
});
