import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { emptySnapshot } from "../../src/control/compile.ts";
import type { ServiceConfig, Snapshot } from "../../src/control/snapshot.ts";
import { backendDefaults } from "../../src/policy/backend-config.ts";
import { createBench, instance, snapshotWith } from "../support/data-path.ts";

function naming(name: string, ...addresses: string[]): Snapshot {
  const service: ServiceConfig = {
    key: `default/${name}`,
    name,
    namespace: "default",
    ports: [],
    endpoints: addresses.map((address) => ({
      address,
      host: "10.0.0.1",
      port: 1,
      instance: null,
      zone: null,
      weight: 1,
      identity: null,
    })),
  };
  return { ...emptySnapshot("e1"), services: new Map([[service.key, service]]) };
}

describe("Directory", () => {
  it("merges what documents list and what the registry knows", () => {
    const { directory } = createBench();
    directory.update(naming("orders", "10.0.0.1:1"), [instance("orders", "10.0.0.2:2"), instance("web", "[::1]:3")]);
    assert.deepEqual(
      directory.find("default/orders")?.endpoints.map(({ record }) => record.address),
      ["10.0.0.1:1", "10.0.0.2:2"],
    );
    assert.deepEqual(directory.find("default/web")?.endpoints[0]?.record.host, "::1");
    assert.equal(directory.find("default/nobody"), undefined);
  });

  it("keeps what it learnt of an endpoint as long as address and identity stay", () => {
    const { directory } = createBench();
    directory.update(emptySnapshot(), [instance("orders", "a:1"), instance("orders", "b:1")]);
    const cluster = directory.find("default/orders")!;
    const [a, b] = cluster.endpoints;
    a!.latencyEwmaMs = 7;
    directory.update(emptySnapshot(), [instance("orders", "a:1", { weight: 5, id: "new" }), instance("orders", "c:1")]);
    assert.equal(cluster.endpoints[0], a);
    assert.equal(a!.record.weight, 5);
    assert.equal(b!.isListed, false);
    assert.equal(cluster.choice.available.includes(b!), false);
    directory.update(emptySnapshot(), [
      instance("orders", "a:1", { spiffeId: "spiffe://mesh.local/ns/default/sa/other" }),
    ]);
    assert.notEqual(cluster.endpoints[0], a);
    assert.equal(directory.find("default/orders"), cluster);
  });

  it("tells of a change once, and of none not at all", () => {
    let changes = 0;
    const { directory } = createBench({ events: { endpointsChanged: () => changes++ } });
    directory.update(emptySnapshot(), [instance("orders", "a:1")]);
    directory.update(emptySnapshot(), [instance("orders", "a:1", { seenAtMs: 99 })]);
    directory.update(naming("web"), [instance("orders", "a:1")]);
    assert.equal(changes, 1);
  });

  it("applies a new policy to the service it has, budget and all", () => {
    const { directory } = createBench();
    directory.update(emptySnapshot(), [instance("orders", "a:1")]);
    const cluster = directory.find("default/orders")!;
    const strict = { ...backendDefaults, retryBudget: { ratio: 0, minPerSecond: 0, windowMs: 1_000 } };
    directory.update(snapshotWith(strict), [instance("orders", "a:1")]);
    assert.equal(cluster.config, strict);
    assert.equal(cluster.retryBudget.tryRepeat(0), false);
  });

  it("remembers a service without endpoints for ten minutes, so that a restart is not a 404", () => {
    const { directory, clock } = createBench();
    directory.update(emptySnapshot(), [instance("orders", "a:1")]);
    directory.update(emptySnapshot(), []);
    assert.equal(directory.find("default/orders")?.isKnown, true);
    assert.equal(directory.find("default/orders")?.endpoints.length, 0);
    clock.advance(599_000);
    directory.update(emptySnapshot(), []);
    assert.equal(directory.find("default/orders")?.isKnown, true);
    clock.advance(1_000);
    directory.update(emptySnapshot(), []);
    assert.equal(directory.find("default/orders"), undefined);
  });

  it("skips a record nobody can dial", () => {
    const { directory } = createBench();
    directory.update(emptySnapshot(), [instance("orders", "nonsense"), instance("orders", "a:1")]);
    assert.equal(directory.find("default/orders")?.endpoints.length, 1);
  });
});
