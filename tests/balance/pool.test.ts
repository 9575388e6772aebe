import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { EndpointState } from "../../src/balance/endpoint.ts";
import { partition } from "../../src/balance/pool.ts";
import { createBreaker, forceOpen, openByQuorum } from "../../src/policy/breaker.ts";

type Kind = "closed" | "open" | "forced";

function endpointOf(kind: Kind, weight = 1, openedAtMs = 0): EndpointState {
  const breaker = createBreaker();
  if (kind === "open") openByQuorum(breaker, openedAtMs + 30_000, openedAtMs);
  if (kind === "forced") forceOpen(breaker, 1_000, openedAtMs);
  return new EndpointState(
    { address: "h:1", host: "h", port: 1, instance: null, zone: null, weight, identity: null },
    breaker,
  );
}

describe("partition()", () => {
  it("ejects the open one of three", () => {
    const endpoints = [endpointOf("closed"), endpointOf("open"), endpointOf("closed")];
    const choice = partition(endpoints, 0.5);
    assert.deepEqual(choice.ejected, [endpoints[1]]);
    assert.deepEqual(choice.available, [endpoints[0], endpoints[2]]);
    assert.equal(choice.nextProbeMs, 30_000);
    assert.equal(endpoints[1]!.isEjected, true);
  });

  it("keeps the only endpoint whatever its breaker says", () => {
    const choice = partition([endpointOf("open")], 1);
    assert.equal(choice.available.length, 1);
    assert.equal(choice.nextProbeMs, Infinity);
  });

  it("keeps half of a pool of which all are open, and who was out first stays out", () => {
    const endpoints = [
      endpointOf("open", 1, 30),
      endpointOf("open", 1, 10),
      endpointOf("open", 1, 20),
      endpointOf("open", 1, 40),
    ];
    assert.deepEqual(partition(endpoints, 0.5).ejected, [endpoints[1], endpoints[2]]);
    const earlier = endpointOf("open", 1, 0);
    const choice = partition([...endpoints, earlier], 0.5);
    assert.deepEqual(choice.ejected, [endpoints[1], endpoints[2]]);
  });

  it("obeys an operator even if nothing is left", () => {
    const choice = partition([endpointOf("forced"), endpointOf("forced")], 0.5);
    assert.equal(choice.available.length, 0);
    assert.equal(choice.ejected.length, 2);
  });

  it("leaves out weight 0", () => {
    const endpoints = [endpointOf("closed", 0), endpointOf("closed", 3)];
    assert.deepEqual(partition(endpoints, 0.5).available, [endpoints[1]]);
  });

  it("ejects at most its share, leaves at least one, and loses nobody", () => {
    const endpoint = fc.record({
      kind: fc.constantFrom<Kind>("closed", "open", "open", "forced"),
      weight: fc.nat(3),
      openedAtMs: fc.nat(1_000),
    });
    fc.assert(
      fc.property(fc.array(endpoint, { maxLength: 12 }), fc.constantFrom(0, 0.1, 0.29, 0.5, 1), (made, ratio) => {
        const endpoints = made.map(({ kind, weight, openedAtMs }) => endpointOf(kind, weight, openedAtMs));
        const { available, ejected, cumulativeWeights } = partition(endpoints, ratio);
        const serving = endpoints.filter((each) => each.record.weight > 0);
        const forced = serving.filter((each) => each.breaker.source === "forced");
        assert.equal(available.length + ejected.length, serving.length);
        const chosen = ejected.filter((each) => each.breaker.source !== "forced");
        if (chosen.length > 0) assert.ok(ejected.length <= ratio * serving.length + 1e-9);
        if (serving.length > forced.length) assert.ok(available.length >= 1);
        assert.ok(ejected.every((each) => each.isEjected && each.breaker.current.kind !== "closed"));
        assert.ok(available.every((each) => !each.isEjected));
        if (cumulativeWeights !== null)
          assert.equal(
            cumulativeWeights.at(-1),
            available.reduce((sum, each) => sum + each.record.weight, 0),
          );
      }),
      { numRuns: 500 },
    );
  });
});
