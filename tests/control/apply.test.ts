import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { followConfig, type ConfigFollower, type FollowConfigOptions } from "../../src/control/apply.ts";
import { encodeEnvelope, sealEnvelope } from "../../src/control/envelope.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import type { Hint, SnapshotPointer, Store, StoredSnapshot } from "../../src/control/store.ts";
import { compareVersions } from "../../src/control/version.ts";
import { MeshError } from "../../src/errors.ts";
import { seededRandom } from "../../src/random.ts";
import { eventually } from "../support/ports.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** A store of which a test decides what it holds, what it says, and whether it answers. */
class ScriptedStore {
  stored: StoredSnapshot | null = null;
  isAway = false;
  reads = 0;
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly store: Store;

  constructor(clock: VirtualClock) {
    const inner = memoryStore(clock);
    const guard = async <T>(value: () => T): Promise<T> => {
      this.reads++;
      if (this.isAway) throw new MeshError("ERR_STORE_UNAVAILABLE", "away");
      return value();
    };
    this.store = {
      kind: "memory",
      name: "scripted",
      isConnected: true,
      registry: inner.registry,
      breaker: inner.breaker,
      config: {
        ...inner.config,
        pointer: () =>
          guard(
            (): SnapshotPointer | null => this.stored && { epoch: this.stored.epoch, version: this.stored.version },
          ),
        current: () => guard(() => this.stored),
      },
      watch: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
      close: async () => {},
    };
  }

  hint(hint: Hint): void {
    for (const listener of this.#listeners) listener(hint);
  }

  hintAtCurrent(): void {
    if (this.stored !== null)
      this.hint({ t: "config", epoch: this.stored.epoch, version: this.stored.version, digest: "" });
  }
}

async function stored(epoch: string, version: number): Promise<StoredSnapshot> {
  return { epoch, version, body: encodeEnvelope(await sealEnvelope("default", epoch, version, [])) };
}

interface Setup extends ScriptedStore {
  readonly clock: VirtualClock;
  readonly follower: ConfigFollower;
  readonly applied: string[];
  readonly refused: (string | null)[];
}

async function setup(over: Partial<FollowConfigOptions> = {}, first: StoredSnapshot | null = null): Promise<Setup> {
  const clock = new VirtualClock();
  const scripted = new ScriptedStore(clock);
  scripted.stored = first;
  const applied: string[] = [];
  const refused: (string | null)[] = [];
  const follower = followConfig({
    store: scripted.store,
    mesh: "default",
    clock,
    random: seededRandom(7),
    onSnapshot: ({ epoch, version }) => applied.push(`${epoch}.${version}`),
    onRefused: (refusal) => refused.push(refusal?.reason ?? null),
    ...over,
  });
  await follower.started;
  return Object.assign(scripted, { clock, follower, applied, refused });
}

/** Decoding is asynchronous even in virtual time: the digest is computed by the platform. */
const idle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe("followConfig()", () => {
  it("finds what was published while every hint was lost, by polling (R1)", async () => {
    const f = await setup();
    f.stored = await stored("a", 1);
    await f.clock.pass(12_001);
    // The digest is computed off this thread, in real time.
    await eventually("the poll to end", () => f.applied.length > 0);
    assert.deepEqual(f.applied, ["a.1"]);
    f.follower.close();
  });

  it("applies a hint at once, a duplicate never twice, and nothing older ever (R3, R4)", async () => {
    const f = await setup({}, await stored("b", 5));
    assert.deepEqual(f.applied, ["b.5"]);
    f.stored = await stored("b", 6);
    f.hintAtCurrent();
    f.hintAtCurrent();
    await f.follower.look();
    const { reads } = f;
    f.hintAtCurrent();
    f.hint({ t: "config", epoch: "b", version: 3, digest: "" });
    f.hint({ t: "config", epoch: "a", version: 99, digest: "" });
    await idle();
    assert.equal(f.reads, reads, "what is known already is not even read");
    f.stored = await stored("b", 4);
    await f.follower.look();
    f.stored = await stored("a", 99);
    await f.follower.look();
    assert.deepEqual(f.applied, ["b.5", "b.6"]);
    assert.match(f.follower.refusal?.reason ?? "", /older/);
    f.stored = await stored("c", 1);
    f.hintAtCurrent();
    await f.follower.look();
    assert.deepEqual(f.applied, ["b.5", "b.6", "c.1"], "a new epoch is newer, whatever its number");
    assert.equal(f.follower.refusal, null);
    f.follower.close();
  });

  it("reads once for a burst of hints, and gets the last (R13, I10)", async () => {
    const bursts = await setup();
    const calm = bursts.reads;
    bursts.stored = await stored("a", 1_000);
    for (let version = 1; version <= 1_000; version++) bursts.hint({ t: "config", epoch: "a", version, digest: "" });
    await bursts.follower.look();
    assert.deepEqual(bursts.applied, ["a.1000"]);
    assert.ok(bursts.reads - calm <= 4, `${bursts.reads - calm} reads for 1000 hints`);
    bursts.follower.close();
  });

  it("keeps what it has while the store is away or empty, and says so only of the latter (I1, I6)", async () => {
    const f = await setup({}, await stored("a", 3));
    f.isAway = true;
    await f.clock.pass(60_000);
    assert.deepEqual(f.refused, []);
    f.isAway = false;
    f.stored = null;
    await f.follower.look();
    assert.deepEqual(f.applied, ["a.3"]);
    assert.match(f.follower.refusal?.reason ?? "", /has lost its config/);
    f.stored = await stored("a", 3);
    await f.follower.look();
    assert.equal(f.follower.refusal, null);
    f.follower.close();
  });

  it("starts from the last known good without a store, and saves what it applies (R23)", async () => {
    const saved: StoredSnapshot[] = [];
    const good = await stored("a", 3);
    const f = await setup({ lastKnownGood: { load: async () => good, save: async (each) => void saved.push(each) } });
    assert.deepEqual(f.applied, ["a.3"]);
    assert.deepEqual(saved, [], "what was loaded need not be saved");
    f.stored = await stored("a", 4);
    await f.follower.look();
    assert.deepEqual(
      saved.map(({ version }) => version),
      [4],
    );
    f.follower.close();
  });

  it("saves one version at a time, so that the newest is the last on disk (I2)", async () => {
    const begun: number[] = [];
    const finish: (() => void)[] = [];
    const save = ({ version }: StoredSnapshot): Promise<void> => {
      begun.push(version);
      return new Promise((resolve) => finish.push(resolve));
    };
    const f = await setup({ lastKnownGood: { load: async () => null, save } });
    for (const version of [4, 5, 6]) {
      f.stored = await stored("a", version);
      await f.follower.look();
    }
    assert.deepEqual(begun, [4], "the disk is slow");
    finish.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(begun, [4, 6]);
    finish.shift()!();
    f.follower.close();
  });

  it("survives a last known good that is garbage, unreadable or cannot be saved", async () => {
    for (const load of [
      async () => ({ epoch: "a", version: 3, body: "{" }),
      async () => Promise.reject(new Error("disk")),
      async () => JSON.parse("{}") as StoredSnapshot,
    ]) {
      const f = await setup(
        { lastKnownGood: { load, save: () => Promise.reject(new Error("full")) } },
        await stored("a", 1),
      );
      assert.deepEqual(f.applied, ["a.1"]);
      f.follower.close();
    }
  });

  it("refuses what does not compile, and takes the next", async () => {
    const f = await setup(
      {
        compile: ({ version }) => {
          throw new Error(`cannot compile ${version}`);
        },
      },
      await stored("a", 1),
    );
    assert.deepEqual(f.applied, []);
    assert.deepEqual(f.refused, ["cannot compile 1"]);
    f.follower.close();
  });

  it("leaves nothing running after close", async () => {
    const f = await setup({}, await stored("a", 1));
    f.follower.close();
    f.stored = await stored("a", 2);
    f.hintAtCurrent();
    await f.clock.pass(60_000);
    await idle();
    assert.deepEqual(f.applied, ["a.1"]);
    assert.equal(f.clock.pending, 0);
  });

  it("never goes back and ends at the newest, whatever is lost, repeated or late (I2, I3)", async () => {
    const epoch = fc.constantFrom("a", "b", "c");
    const event = fc.oneof(
      fc.record({ do: fc.constant("publish" as const), epoch, version: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ do: fc.constant("hint" as const), epoch, version: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant("garbage" as const), epoch, version: fc.integer({ min: 1, max: 6 }) }),
      fc.record({
        do: fc.constantFrom("away" as const, "back" as const, "lose" as const, "resync" as const, "wait" as const),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 25 }), async (events) => {
        const f = await setup();
        let newest: SnapshotPointer = { epoch: "", version: 0 };
        for (const each of events) {
          if (each.do === "publish") f.stored = await stored(each.epoch, each.version);
          else if (each.do === "garbage") f.stored = { epoch: each.epoch, version: each.version, body: "[" };
          else if (each.do === "hint") f.hint({ t: "config", epoch: each.epoch, version: each.version, digest: "" });
          else if (each.do === "resync") f.hint({ t: "resync" });
          else if (each.do === "lose") f.stored = null;
          else if (each.do === "wait") await f.clock.pass(13_000);
          else f.isAway = each.do === "away";
          await f.follower.look();
          assert.ok(compareVersions(f.follower.applied, newest) >= 0);
          newest = f.follower.applied;
        }
        f.isAway = false;
        f.stored = await stored("d", 1);
        await f.clock.pass(13_000);
        await f.follower.look();
        assert.equal(f.applied.at(-1), "d.1");
        assert.equal(new Set(f.applied).size, f.applied.length, "none twice");
        f.follower.close();
      }),
      { numRuns: 60 },
    );
  });
});
