import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ServiceCluster } from "../../src/balance/cluster.ts";
import { EndpointState } from "../../src/balance/endpoint.ts";
import { latencyAt, observeFailure, observeLatency } from "../../src/balance/ewma.ts";
import { pick } from "../../src/balance/pick.ts";
import { backendDefaults, type BalanceAlgorithm } from "../../src/policy/backend-config.ts";
import { createBreaker } from "../../src/policy/breaker.ts";
import { LimitState } from "../../src/policy/limit.ts";
import { RetryBudget } from "../../src/policy/retry-budget.ts";
import { seededRandom } from "../../src/random.ts";

function clusterOf(...weights: number[]): ServiceCluster {
  const cluster = new ServiceCluster({
    key: "default/orders",
    config: backendDefaults,
    retryBudget: new RetryBudget(backendDefaults.retryBudget),
    limits: new LimitState(),
  });
  cluster.endpoints = weights.map(
    (weight, i) =>
      new EndpointState(
        { address: `h:${i}`, host: "h", port: i, instance: null, zone: null, weight, identity: null },
        createBreaker(),
      ),
  );
  cluster.refresh();
  return cluster;
}

function shares(cluster: ServiceCluster, algorithm: BalanceAlgorithm, picks: number, seed = 1): number[] {
  const random = seededRandom(seed);
  const counts = cluster.endpoints.map(() => 0);
  for (let i = 0; i < picks; i++) {
    const picked = pick(cluster, algorithm, null, random, 0)!;
    counts[cluster.endpoints.indexOf(picked)]!++;
  }
  return counts.map((count) => count / picks);
}

const algorithms: readonly BalanceAlgorithm[] = ["least-request", "round-robin", "random"];

describe("pick()", () => {
  for (const algorithm of algorithms) {
    it(`${algorithm} spreads 3000 requests evenly over three (A-44)`, () => {
      for (const share of shares(clusterOf(1, 1, 1), algorithm, 3_000))
        assert.ok(Math.abs(share - 1 / 3) < 0.05, String(share));
    });

    it(`${algorithm} follows weights, and gives nothing to weight 0`, () => {
      const [a, b, c] = shares(clusterOf(7, 3, 0), algorithm, 10_000);
      assert.ok(Math.abs(a! - 0.7) < 0.03 && Math.abs(b! - 0.3) < 0.03, `${a} ${b}`);
      assert.equal(c, 0);
    });
  }

  it("least-request prefers who is less busy", () => {
    const cluster = clusterOf(1, 1);
    cluster.endpoints[0]!.inFlight = 9;
    assert.ok(shares(cluster, "least-request", 2_000)[0]! < 0.03);
  });

  it("least-request gives one ten times slower less than a fifth (A-44), but does not forget it", () => {
    const cluster = clusterOf(1, 1, 1);
    cluster.endpoints.forEach((endpoint, i) => observeLatency(endpoint, i === 0 ? 100 : 10, 0));
    const [slow] = shares(cluster, "least-request", 10_000);
    assert.ok(slow! < 0.1 && slow! > 0.02, String(slow));
  });

  it("least-request goes on asking an endpoint after one terrible peak", () => {
    const cluster = clusterOf(1, 1);
    observeLatency(cluster.endpoints[0]!, 30_000, 0);
    observeLatency(cluster.endpoints[1]!, 1, 0);
    const [unlucky] = shares(cluster, "least-request", 10_000);
    assert.ok(unlucky! > 0.01 && unlucky! < 0.03, String(unlucky));
  });

  it("least-request shares about evenly among equals whose latency jitters", () => {
    const cluster = clusterOf(1, 1);
    observeLatency(cluster.endpoints[0]!, 1.2, 0);
    observeLatency(cluster.endpoints[1]!, 0.9, 0);
    const [share] = shares(cluster, "least-request", 2_000);
    assert.ok(share! > 0.38 && share! < 0.48, String(share));
  });

  it("least-request neither starves nor stampedes a newcomer", () => {
    const cluster = clusterOf(1, 1);
    observeLatency(cluster.endpoints[0]!, 50, 0);
    const [known] = shares(cluster, "least-request", 2_000);
    assert.ok(Math.abs(known! - 0.5) < 0.05, String(known));
  });

  it("round-robin takes turns exactly", () => {
    const cluster = clusterOf(1, 1, 1);
    const picked = Array.from({ length: 6 }, () => pick(cluster, "round-robin", null, Math.random, 0)!.record.port);
    assert.deepEqual(picked, [0, 1, 2, 0, 1, 2]);
  });

  it("goes elsewhere than before if there is anywhere else, and is null only if nobody is available", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(5), { maxLength: 8 }),
        fc.array(fc.nat(7), { maxLength: 8 }),
        fc.constantFrom(...algorithms),
        fc.nat(),
        (weights, triedIndexes, algorithm, seed) => {
          const cluster = clusterOf(...weights);
          const tried = triedIndexes.flatMap((i) => cluster.endpoints[i] ?? []);
          const { available } = cluster.choice;
          const picked = pick(cluster, algorithm, tried, seededRandom(seed), 0);
          if (available.length === 0) return assert.equal(picked, null);
          assert.ok(available.includes(picked!) && picked!.record.weight > 0);
          if (available.some((endpoint) => !tried.includes(endpoint))) assert.ok(!tried.includes(picked!));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe("the latency average", () => {
  const endpoint = (): EndpointState => clusterOf(1).endpoints[0]!;

  it("takes a peak at once and forgets it over ten seconds", () => {
    const one = endpoint();
    observeLatency(one, 10, 0);
    observeLatency(one, 500, 1);
    assert.equal(one.latencyEwmaMs, 500);
    observeLatency(one, 10, 2);
    assert.ok(one.latencyEwmaMs > 499);
    observeLatency(one, 10, 10_002);
    assert.ok(Math.abs(one.latencyEwmaMs - (10 + 490 * Math.exp(-1))) < 1);
  });

  it("fades while nobody measures", () => {
    const one = endpoint();
    observeLatency(one, 100, 0);
    assert.equal(latencyAt(one, 0), 100);
    assert.ok(Math.abs(latencyAt(one, 10_000) - 100 / Math.E) < 1e-9);
  });

  it("is never improved by a failure", () => {
    const one = endpoint();
    observeLatency(one, 100, 0);
    observeFailure(one, 1, 60_000);
    assert.equal(one.latencyEwmaMs, 100);
    observeFailure(one, 900, 60_001);
    assert.equal(one.latencyEwmaMs, 900);
  });
});
