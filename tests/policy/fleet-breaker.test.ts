import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Cluster } from "../../src/balance/cluster.ts";
import type { EndpointState } from "../../src/balance/endpoint.ts";
import { emptySnapshot } from "../../src/control/compile.ts";
import type { BreakerOverride, BreakerVote } from "../../src/control/store.ts";
import { backendDefaults } from "../../src/policy/backend-config.ts";
import { createBench, instance, snapshotWith, type Bench } from "../support/data-path.ts";

interface Caller extends Bench {
  readonly cluster: Cluster;
  readonly cast: BreakerVote[];
  readonly withdrawn: BreakerVote[];
}

function callerOf(size: number, options: { voter?: string; callers?: number; isShared?: boolean } = {}): Caller {
  const cast: BreakerVote[] = [];
  const withdrawn: BreakerVote[] = [];
  const bench = createBench({
    voter: options.voter ?? "me",
    callers: () => options.callers ?? 0,
    votes: {
      vote: async (vote) => void cast.push(vote),
      withdraw: async (vote) => void withdrawn.push(vote),
    },
  });
  const config = { ...backendDefaults, breaker: { ...backendDefaults.breaker, isShared: options.isShared ?? true } };
  bench.directory.update(
    snapshotWith(config),
    Array.from({ length: size }, (_, i) => instance("orders", `e${i}:1`)),
  );
  return { ...bench, cluster: bench.directory.find("default/orders")!, cast, withdrawn };
}

function endpointOf(caller: Caller, i: number): EndpointState {
  return caller.cluster.endpoints[i]!;
}

function report(caller: Caller, i: number, outcome: "success" | "failure", times = 1): void {
  const endpoint = endpointOf(caller, i);
  for (let n = 0; n < times; n++)
    caller.breakers.report(
      caller.cluster,
      endpoint,
      endpoint.breaker.generation,
      outcome,
      caller.cluster.config.breaker,
    );
}

function voteBy(caller: Caller, voter: string, i = 0, lastsMs = 30_000): BreakerVote {
  return {
    service: "orders",
    namespace: "default",
    endpoint: `e${i}:1`,
    voter,
    expiresAtMs: caller.clock.epochMs() + lastsMs,
  };
}

const stateOf = (caller: Caller, i = 0): string =>
  `${endpointOf(caller, i).breaker.current.kind} ${endpointOf(caller, i).breaker.source}`;

describe("the fleet breaker", () => {
  it("says nothing while all is well, votes when it opens, withdraws when it closes", () => {
    const caller = callerOf(2);
    report(caller, 0, "success", 1_000);
    report(caller, 0, "failure", 4);
    report(caller, 0, "success");
    assert.deepEqual([caller.cast, caller.withdrawn], [[], []]);
    report(caller, 0, "failure", 5);
    assert.equal(caller.cast.length, 1);
    const [vote] = caller.cast;
    assert.equal(vote!.endpoint, "e0:1");
    assert.equal(vote!.voter, "me");
    assert.ok(
      vote!.expiresAtMs - caller.clock.epochMs() >= 30_000 && vote!.expiresAtMs - caller.clock.epochMs() <= 33_000,
    );
    caller.clock.advance(20_000);
    report(caller, 0, "success");
    assert.deepEqual(caller.withdrawn, [vote]);
  });

  it("opens for a caller that never failed, when two others say so", () => {
    const caller = callerOf(2);
    caller.fleet.onVote(voteBy(caller, "a"));
    assert.equal(stateOf(caller), "closed local");
    caller.fleet.onVote(voteBy(caller, "a"));
    assert.equal(stateOf(caller), "closed local", "one caller counts once");
    caller.fleet.onVote(voteBy(caller, "b"));
    assert.equal(stateOf(caller), "open quorum");
    assert.equal(endpointOf(caller, 0).isEjected, true);
    assert.deepEqual(caller.heard, ["e0:1 closed > open quorum"]);
    assert.deepEqual(caller.cast, [], "hearsay is not passed on as evidence");
  });

  it("needs its share of the callers, two at least", () => {
    // A tenth of 31 callers, rounded up.
    const caller = callerOf(2, { callers: 31 });
    for (const voter of ["a", "b", "c"]) caller.fleet.onVote(voteBy(caller, voter));
    assert.equal(stateOf(caller), "closed local");
    caller.fleet.onVote(voteBy(caller, "d"));
    assert.equal(stateOf(caller), "open quorum");
  });

  it("never opens more than half of a pool by votes, nor the only endpoint", () => {
    for (const size of [1, 2, 3, 5, 8]) {
      const caller = callerOf(size);
      for (let i = 0; i < size; i++) for (const voter of ["a", "b", "c"]) caller.fleet.onVote(voteBy(caller, voter, i));
      const opened = caller.cluster.endpoints.filter(({ breaker }) => breaker.current.kind === "open").length;
      assert.equal(opened, Math.floor(size / 2));
    }
  });

  it("returns through a probe when the quorum lapses, by expiry", () => {
    const caller = callerOf(2);
    caller.fleet.onVote(voteBy(caller, "a", 0, 10_000));
    caller.fleet.onVote(voteBy(caller, "b", 0, 20_000));
    caller.clock.advance(9_999);
    assert.equal(caller.breakers.probe(caller.cluster, null), null);
    caller.clock.advance(1);
    assert.equal(caller.breakers.probe(caller.cluster, null), endpointOf(caller, 0));
    assert.equal(caller.breakers.probe(caller.cluster, null), null);
    report(caller, 0, "success");
    assert.equal(stateOf(caller), "closed local");
  });

  it("returns through a probe when the quorum lapses, by withdrawal", () => {
    const caller = callerOf(2);
    caller.fleet.onVote(voteBy(caller, "a"));
    caller.fleet.onVote(voteBy(caller, "b"));
    caller.fleet.onWithdraw(voteBy(caller, "b"));
    assert.equal(caller.breakers.probe(caller.cluster, null), endpointOf(caller, 0));
  });

  it("makes a failed probe its own evidence, and votes", () => {
    const caller = callerOf(2);
    caller.fleet.onVote(voteBy(caller, "a", 0, 10_000));
    caller.fleet.onVote(voteBy(caller, "b", 0, 10_000));
    caller.clock.advance(10_000);
    caller.breakers.probe(caller.cluster, null);
    report(caller, 0, "failure");
    assert.equal(stateOf(caller), "open local");
    assert.equal(caller.cast.length, 1);
  });

  it("believes its own success against any number of votes, for one opening's length (I14)", () => {
    const caller = callerOf(2);
    for (const voter of ["a", "b"]) caller.fleet.onVote(voteBy(caller, voter, 0, 60_000));
    caller.clock.advance(60_000);
    caller.breakers.probe(caller.cluster, null);
    report(caller, 0, "success");
    for (let i = 0; i < 20; i++) caller.fleet.onVote(voteBy(caller, `v${i}`, 0, 60_000));
    assert.equal(stateOf(caller), "closed local");
    caller.clock.advance(30_000);
    caller.fleet.onVote(voteBy(caller, "new", 0, 60_000));
    assert.equal(stateOf(caller), "open quorum");
  });

  it("is not kept open longer than a minute by votes that are cast again and again (R17)", () => {
    const caller = callerOf(2);
    for (let second = 0; second < 60; second++) {
      for (const voter of ["a", "b", "c"]) caller.fleet.onVote(voteBy(caller, voter, 0, 60_000));
      assert.equal(caller.breakers.probe(caller.cluster, null), null);
      caller.clock.advance(1_000);
    }
    assert.equal(caller.breakers.probe(caller.cluster, null), endpointOf(caller, 0));
  });

  it("does not let votes touch what it opened itself", () => {
    const caller = callerOf(2);
    report(caller, 0, "failure", 5);
    const before = endpointOf(caller, 0).breaker.current;
    for (const voter of ["a", "b"]) caller.fleet.onVote(voteBy(caller, voter));
    for (const voter of ["a", "b"]) caller.fleet.onWithdraw(voteBy(caller, voter));
    assert.equal(endpointOf(caller, 0).breaker.current, before);
  });

  it("reads all votes again after a reconnection, and forgets those that are gone", () => {
    const caller = callerOf(4);
    caller.fleet.onVote(voteBy(caller, "a"));
    caller.fleet.onVotes([voteBy(caller, "b"), voteBy(caller, "a", 1), voteBy(caller, "b", 1)]);
    assert.equal(stateOf(caller, 0), "closed local");
    assert.equal(stateOf(caller, 1), "open quorum");
    caller.fleet.onVotes([]);
    assert.equal(caller.breakers.probe(caller.cluster, null), endpointOf(caller, 1));
  });

  it("keeps to itself where a policy says so", () => {
    const caller = callerOf(2, { isShared: false });
    report(caller, 1, "failure", 5);
    assert.deepEqual(caller.cast, []);
    for (const voter of ["a", "b", "c"]) caller.fleet.onVote(voteBy(caller, voter));
    assert.equal(stateOf(caller), "closed local");
  });

  it("decides as it would alone when the store fails or is away", () => {
    const broken = createBench({
      votes: { vote: () => Promise.reject(new Error("gone")), withdraw: () => Promise.reject(new Error("gone")) },
    });
    const alone = createBench();
    for (const bench of [broken, alone]) {
      bench.directory.update(emptySnapshot(), [instance("orders", "e0:1"), instance("orders", "e1:1")]);
      const caller = { ...bench, cluster: bench.directory.find("default/orders")!, cast: [], withdrawn: [] };
      report(caller, 0, "failure", 5);
      bench.clock.advance(40_000);
      bench.breakers.probe(caller.cluster, null);
      report(caller, 0, "success");
    }
    assert.deepEqual(broken.heard, alone.heard);
  });

  it("ignores expired, endless, nameless, foreign and own votes", () => {
    const caller = callerOf(2);
    const forged: BreakerVote[] = [
      { ...voteBy(caller, "x"), expiresAtMs: caller.clock.epochMs() },
      { ...voteBy(caller, "y"), expiresAtMs: caller.clock.epochMs() + 86_400_000 },
      { ...voteBy(caller, "z"), expiresAtMs: Number.NaN },
      { ...voteBy(caller, "w"), expiresAtMs: Infinity },
      voteBy(caller, ""),
      voteBy(caller, "v".repeat(257)),
      voteBy(caller, "me"),
      { ...voteBy(caller, "u"), endpoint: "unknown:1" },
      { ...voteBy(caller, "t"), service: "unknown" },
      { ...voteBy(caller, "s"), service: "__proto__" },
    ];
    for (const vote of forged) caller.fleet.onVote(vote);
    caller.fleet.onVotes(forged);
    caller.fleet.onVote(voteBy(caller, "honest"));
    assert.equal(stateOf(caller), "closed local");
    assert.deepEqual(caller.heard, []);
  });

  it("stays within its bounds whatever is sent, and never contradicts what it sees itself", () => {
    const vote = fc.record({
      service: fc.constantFrom("orders", "other"),
      namespace: fc.constant("default"),
      endpoint: fc.constantFrom("e0:1", "e1:1", "e2:1", "e3:1", "?"),
      voter: fc.constantFrom("a", "b", "c", "d", "me", ""),
      lastsMs: fc.oneof(fc.integer({ min: -1_000, max: 70_000 }), fc.constantFrom(Number.NaN, Infinity, 1e15)),
    });
    const step = fc.record({
      act: fc.constantFrom("vote", "withdraw", "all", "succeed", "probe"),
      vote,
      passMs: fc.nat(20_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const caller = callerOf(4);
        for (const {
          act,
          vote: { lastsMs, ...rest },
          passMs,
        } of steps) {
          caller.clock.advance(passMs);
          const sent: BreakerVote = { ...rest, expiresAtMs: caller.clock.epochMs() + lastsMs };
          if (act === "vote") caller.fleet.onVote(sent);
          else if (act === "withdraw") caller.fleet.onWithdraw(sent);
          else if (act === "all") caller.fleet.onVotes([sent]);
          else if (act === "probe") caller.breakers.probe(caller.cluster, null);
          else
            for (let i = 0; i < 4; i++) {
              const { kind } = endpointOf(caller, i).breaker.current;
              report(caller, i, "success");
              if (kind !== "closed") assert.equal(stateOf(caller, i), "closed local");
            }
          const opened = caller.cluster.endpoints.filter(({ breaker }) => breaker.current.kind !== "closed");
          assert.ok(opened.length <= 2);
          assert.ok(caller.cluster.choice.available.length >= 2);
          for (const { breaker } of opened)
            if (breaker.current.kind === "open") assert.ok(breaker.current.untilMs - breaker.sinceMs <= 60_000);
        }
        assert.deepEqual(caller.cast, []);
      }),
      { numRuns: 400 },
    );
  });

  it("warns fifty callers after two have failed", () => {
    const callers = Array.from({ length: 50 }, (_, i) => callerOf(2, { voter: `c${i}` }));
    const delivered = new Set<BreakerVote>();
    let failures = 0;
    for (let round = 0; round < 20; round++) {
      for (const caller of callers) {
        if (endpointOf(caller, 0).breaker.current.kind !== "closed") continue;
        report(caller, 0, "failure");
        failures++;
        for (const from of callers)
          for (const vote of from.cast) {
            if (delivered.has(vote)) continue;
            delivered.add(vote);
            for (const to of callers) to.fleet.onVote(vote);
          }
      }
    }
    assert.ok(callers.every((caller) => endpointOf(caller, 0).breaker.current.kind === "open"));
    // Everybody fails at the same pace here, the worst case: four rounds, and two more failures.
    assert.equal(failures, 50 * 4 + 2);
  });
});

describe("an operator's order", () => {
  const order = (
    caller: Caller,
    state: BreakerOverride["state"],
    endpoint: string | null,
    lastsMs = 60_000,
  ): BreakerOverride => ({
    service: "orders",
    namespace: "default",
    endpoint,
    state,
    expiresAtMs: caller.clock.epochMs() + lastsMs,
  });

  it("opens a whole service or one endpoint, the latter going first", () => {
    const caller = callerOf(3);
    caller.fleet.onOverrides([order(caller, "forced-open", null), order(caller, "forced-closed", "e1:1")]);
    assert.deepEqual(
      [0, 1, 2].map((i) => stateOf(caller, i)),
      ["open forced", "closed forced", "open forced"],
    );
    assert.deepEqual(caller.cluster.choice.available, [endpointOf(caller, 1)]);
  });

  it("is carried out once, however often it is read", () => {
    const caller = callerOf(2);
    const orders = [order(caller, "forced-open", "e0:1")];
    for (let i = 0; i < 5; i++) caller.fleet.onOverrides(orders);
    assert.deepEqual(caller.heard, ["e0:1 closed > open forced"]);
  });

  it("is taken back when it is missing, and everything counted with it", () => {
    const caller = callerOf(2);
    caller.fleet.onOverrides([order(caller, "forced-open", "e0:1"), order(caller, "forced-closed", "e1:1")]);
    report(caller, 1, "failure", 20);
    assert.equal(stateOf(caller, 1), "closed forced");
    caller.fleet.onOverrides([]);
    assert.deepEqual([stateOf(caller, 0), stateOf(caller, 1)], ["closed local", "closed local"]);
    report(caller, 1, "failure", 4);
    assert.equal(stateOf(caller, 1), "closed local");
  });

  it("to reset closes what this caller opened on its own evidence, once", () => {
    const caller = callerOf(2);
    report(caller, 0, "failure", 5);
    assert.equal(stateOf(caller), "open local");
    const orders = [order(caller, "reset", null)];
    caller.fleet.onOverrides(orders);
    assert.equal(stateOf(caller), "closed local");
    report(caller, 0, "failure", 5);
    caller.fleet.onOverrides(orders);
    assert.equal(stateOf(caller), "open local");
  });

  it("ends by itself, the endpoint returning through a probe", () => {
    const caller = callerOf(2);
    caller.fleet.onOverrides([order(caller, "forced-open", "e0:1", 5_000)]);
    caller.clock.advance(4_999);
    assert.equal(caller.breakers.probe(caller.cluster, null), null);
    caller.clock.advance(1);
    assert.equal(caller.breakers.probe(caller.cluster, null), endpointOf(caller, 0));
    report(caller, 0, "success");
    caller.fleet.onOverrides([]);
    assert.equal(stateOf(caller), "closed local");
  });

  it("holds for endpoints that join later", () => {
    const caller = callerOf(1);
    caller.fleet.onOverrides([order(caller, "forced-open", null)]);
    caller.directory.update(emptySnapshot(), [instance("orders", "e0:1"), instance("orders", "e9:1")]);
    assert.equal(caller.cluster.choice.available.length, 0);
  });

  it("lasts a day at most, and not at all if its date makes no sense", () => {
    const caller = callerOf(2);
    caller.fleet.onOverrides([
      order(caller, "forced-open", "e0:1", 1e15),
      order(caller, "forced-open", "e1:1", Number.NaN),
    ]);
    assert.equal(stateOf(caller, 1), "closed local");
    caller.clock.advance(24 * 3_600_000);
    assert.equal(caller.breakers.probe(caller.cluster, null), endpointOf(caller, 0));
  });

  it("is above every vote", () => {
    const caller = callerOf(2);
    caller.fleet.onOverrides([order(caller, "forced-closed", "e0:1")]);
    for (const voter of ["a", "b", "c"]) caller.fleet.onVote(voteBy(caller, voter));
    assert.equal(stateOf(caller), "closed forced");
  });
});
