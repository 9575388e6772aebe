import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { announce, followRegistry, Membership } from "../../src/control/registry.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import type { RegistryStore, Store } from "../../src/control/store.ts";
import { MeshError } from "../../src/errors.ts";
import { seededRandom } from "../../src/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { record } from "./_store-suite.ts";

/** A store whose registry can be taken away, and counts what is written. */
function fragile(clock: VirtualClock) {
  const inner = memoryStore(clock);
  const state = { isAway: false, registers: 0 };
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    if (state.isAway) throw new MeshError("ERR_STORE_UNAVAILABLE", "away");
    return work();
  };
  const registry: RegistryStore = {
    register: (...args) => guard(() => (state.registers++, inner.registry.register(...args))),
    deregister: (...args) => guard(() => inner.registry.deregister(...args)),
    instances: () => guard(() => inner.registry.instances()),
    departed: () => guard(() => inner.registry.departed()),
  };
  const store: Store = {
    ...inner,
    kind: "memory",
    name: "fragile",
    isConnected: true,
    config: inner.config,
    breaker: inner.breaker,
    registry,
    watch: (listener) => inner.watch(listener),
    close: () => inner.close(),
  };
  return { store, state, inner };
}

describe("announce()", () => {
  it("renews its lease in thirds, comes back after an outage, and leaves at once", async () => {
    const clock = new VirtualClock();
    const { store, state, inner } = fragile(clock);
    const announcement = announce({ store, record: () => record("orders-1"), clock, random: seededRandom(1) });
    await clock.pass(0);
    await announcement.started;
    const ids = async (): Promise<string[]> => (await inner.registry.instances()).map(({ id }) => id);
    assert.deepEqual(await ids(), ["orders-1"]);
    for (let second = 0; second < 120; second++) {
      await clock.pass(1_000);
      assert.deepEqual(await ids(), ["orders-1"], `after ${second + 1} s`);
    }
    assert.ok(state.registers >= 20 && state.registers <= 32, `${state.registers} heartbeats in 120 s`);
    state.isAway = true;
    await clock.pass(30_000);
    assert.deepEqual(await ids(), []);
    state.isAway = false;
    await clock.pass(6_000);
    assert.deepEqual(await ids(), ["orders-1"]);
    const stopping = announcement.stop();
    await clock.pass(0);
    await stopping;
    assert.deepEqual(await ids(), []);
    assert.deepEqual(await inner.registry.departed(), ["orders-1"]);
    await clock.pass(60_000);
    assert.deepEqual(await ids(), [], "nothing brings it back");
    assert.equal(clock.pending, 0);
  });

  it("stops within a second although the store is away", async () => {
    const clock = new VirtualClock();
    const { store } = fragile(clock);
    const hanging: Store = {
      ...store,
      watch: () => () => {},
      registry: { ...store.registry, register: () => new Promise(() => {}) },
    };
    const announcement = announce({ store: hanging, record: () => record("orders-1"), clock, random: seededRandom(1) });
    await clock.pass(0);
    let isStopped = false;
    void announcement.stop().then(() => (isStopped = true));
    await clock.pass(999);
    assert.equal(isStopped, false);
    await clock.pass(2);
    assert.equal(isStopped, true);
  });
});

describe("followRegistry()", () => {
  it("tells of arrivals and departures at once, and of nothing else", async () => {
    const clock = new VirtualClock();
    const { store } = fragile(clock);
    const seen: string[] = [];
    const follower = followRegistry({
      store,
      clock,
      random: seededRandom(1),
      onInstances: (found) =>
        seen.push(
          found
            .map(({ id }) => id)
            .sort()
            .join(),
        ),
    });
    await clock.pass(0);
    await store.registry.register(record("a"), 15_000);
    await clock.pass(0);
    await store.registry.register(record("b", { address: "127.0.0.1:4002" }), 15_000);
    await clock.pass(0);
    await store.registry.register(record("a", { appliedVersion: 3 }), 15_000);
    await clock.pass(6_000);
    await store.registry.deregister("a", "orders", "default");
    await clock.pass(0);
    await store.registry.deregister("b", "orders", "default");
    await clock.pass(0);
    assert.deepEqual(seen, ["a", "a,b", "b", ""]);
    follower.close();
    assert.equal(clock.pending, 0);
  });

  it("counts who has lately called a service, as their heartbeats say", async () => {
    const clock = new VirtualClock();
    const { store } = fragile(clock);
    const follower = followRegistry({ store, clock, random: seededRandom(1), onInstances: () => {} });
    await store.registry.register(record("a", { calls: ["default/orders", "default/billing"] }), 15_000);
    await store.registry.register(record("b", { address: "127.0.0.1:4002", calls: ["default/orders"] }), 15_000);
    await clock.pass(6_000);
    const count = (): number[] =>
      ["default/orders", "default/billing", "default/web"].map((key) => follower.callers(key));
    assert.deepEqual(count(), [2, 1, 0]);
    await store.registry.register(record("a", { calls: [] }), 15_000);
    await clock.pass(6_000);
    assert.deepEqual(count(), [1, 0, 0]);
    follower.close();
  });

  it("keeps a pool whose members fall silent together, until the grace is over (I13, R16)", async () => {
    const clock = new VirtualClock();
    const { store, state } = fragile(clock);
    let known: string[] = [];
    const follower = followRegistry({
      store,
      clock,
      random: seededRandom(1),
      onInstances: (found) => void (known = found.map(({ id }) => id).sort()),
    });
    for (const id of ["a", "b", "c"])
      await store.registry.register(record(id, { address: `127.0.0.1:40${id.charCodeAt(0)}` }), 15_000);
    await clock.pass(0);
    assert.deepEqual(known, ["a", "b", "c"]);
    await clock.pass(60_000);
    assert.deepEqual(known, ["a", "b", "c"], "the leases have ended 45 s ago");
    state.isAway = true;
    await clock.pass(60_000);
    assert.deepEqual(known, ["a", "b", "c"], "the store is away as well");
    state.isAway = false;
    await store.registry.register(record("a", { address: "127.0.0.1:4097" }), 3_600_000);
    await store.registry.register(record("b", { address: "127.0.0.1:4098" }), 3_600_000);
    await clock.pass(30_000);
    assert.deepEqual(known, ["a", "b"], "most are back, so the third is gone");
    follower.close();
  });
});

describe("Membership", () => {
  const members = (ids: Iterable<string>) =>
    [...ids].map((id) => record(id, { address: `127.0.0.1:${5_000 + id.charCodeAt(0)}` }));

  it("drops one silent member of many with its lease, and all of one service after the grace", () => {
    const membership = new Membership(15_000, 600_000);
    membership.update(members("abcd"), new Set(), 0);
    assert.equal(membership.update(members("abc"), new Set(), 1_000).length, 3);
    assert.equal(membership.update([], new Set(), 20_000).length, 3);
    assert.equal(membership.update([], new Set(), 619_000).length, 3);
    assert.equal(membership.update([], new Set(), 621_000).length, 0);
  });

  it("sees through leases that end one after the other", () => {
    const membership = new Membership(15_000, 600_000);
    membership.update(members("abcde"), new Set(), 0);
    const sizes = ["bcde", "cde", "de", "e", ""].map(
      (left, step) => membership.update(members(left), new Set(), (step + 1) * 3_000).length,
    );
    assert.equal(sizes.at(-1), 5, sizes.join());
  });

  it("never empties a pool by silence within the grace, and never keeps who left", () => {
    const id = fc.constantFrom(..."abcdefgh");
    const step = fc.record({
      present: fc.uniqueArray(id),
      left: fc.uniqueArray(id),
      afterMs: fc.integer({ min: 0, max: 30_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 15 }), (steps) => {
        const membership = new Membership(15_000, Infinity);
        let pool = 0;
        let nowMs = 0;
        for (const { present, left, afterMs } of steps) {
          nowMs += afterMs;
          const departed = new Set(left.filter((each) => !present.includes(each)));
          const known = membership.update(members(present), departed, nowMs).map((each) => each.id);
          for (const each of present) assert.ok(known.includes(each));
          for (const each of departed) assert.ok(!known.includes(each));
          assert.equal(new Set(known).size, known.length);
          if (pool > 0 && departed.size === 0) assert.ok(known.length > 0);
          pool = known.length;
        }
      }),
    );
  });
});
