/** What every store must do, whatever it keeps its state in. Each implementation runs all of it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { encodeEnvelope, sealEnvelope } from "../../src/control/envelope.ts";
import { openUnverified } from "../../src/control/signed-body.ts";
import type { Hint, InstanceRecord, PublishRequest, Store } from "../../src/control/store.ts";
import { newEpoch } from "../../src/control/version.ts";
import { MeshError } from "../../src/errors.ts";

export interface StoreFixture {
  /** Several members of one mesh: what one writes, the others read. */
  open(): Promise<Store>;
  /** A member that may write instances of this service (the control plane knows who asks). */
  openAs(service: string): Promise<Store>;
  close(): Promise<void>;
}

export function record(id: string, over: Partial<InstanceRecord> = {}): InstanceRecord {
  const service = over.service ?? "orders";
  return {
    id,
    service,
    namespace: "default",
    address: "127.0.0.1:4001",
    addressH2: null,
    spiffeId: `spiffe://mesh.local/ns/default/sa/${service}`,
    zone: null,
    weight: 1,
    runtime: "test",
    appliedEpoch: "",
    appliedVersion: 0,
    state: "applied",
    reason: null,
    certificateExpiresAt: null,
    seenAtMs: Date.now(),
    ...over,
  };
}

export async function versionOf(epoch: string, version: number, note = ""): Promise<PublishRequest> {
  const envelope = await sealEnvelope("default", epoch, version, [
    {
      apiVersion: "fetchmesh.dev/v1alpha1",
      kind: "Service",
      metadata: { name: `s${version}`, namespace: "default" },
      spec: {},
    },
  ]);
  return {
    expectedVersion: version - 1,
    next: { epoch, version, body: encodeEnvelope(envelope) },
    history: { version, author: "suite", message: note, at: new Date().toISOString(), changes: 1 },
    digest: envelope.digest,
  };
}

/** Waits for a hint; the ones seen so far count. */
export class HintLog {
  readonly hints: Hint[] = [];
  readonly stop: () => void;

  constructor(store: Store) {
    this.stop = store.watch((hint) => void this.hints.push(hint));
  }

  async until(what: string, isIt: (hint: Hint) => boolean, timeoutMs = 5_000): Promise<Hint> {
    const endsAt = Date.now() + timeoutMs;
    for (;;) {
      const found = this.hints.find(isIt);
      if (found !== undefined) return found;
      if (Date.now() > endsAt) throw new Error(`no ${what}; heard ${JSON.stringify(this.hints)}`);
      await pause(5);
    }
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function eventually(what: string, isTrue: () => Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  for (const endsAt = Date.now() + timeoutMs; !(await isTrue()); await pause(10))
    if (Date.now() > endsAt) throw new Error(`not in time: ${what}`);
}

const isCode = (code: string) => (error: unknown) => error instanceof MeshError && error.code === code;

export function storeSuite(name: string, make: () => Promise<StoreFixture>): void {
  describe(`${name} store`, () => {
    let fixture: StoreFixture;
    let writer: Store;
    let reader: Store;
    const epoch = newEpoch(Date.now());

    before(async () => {
      fixture = await make();
      [writer, reader] = [await fixture.open(), await fixture.open()];
    });
    after(async () => {
      await writer.close();
      await reader.close();
      await fixture.close();
    });

    it("knows nothing before anything was published", async () => {
      assert.equal(await reader.config.pointer(), null);
      assert.equal(await reader.config.current(), null);
      assert.equal(await reader.config.version(1), null);
      assert.deepEqual(await reader.config.history(10), []);
    });

    it("tells a watcher that its subscription stands, also a second one", async () => {
      const first = new HintLog(reader);
      await first.until("resync", ({ t }) => t === "resync");
      const second = new HintLog(reader);
      await second.until("resync", ({ t }) => t === "resync");
      first.stop();
      second.stop();
    });

    it("publishes by compare-and-set and tells everybody", async () => {
      const log = new HintLog(reader);
      await log.until("resync", ({ t }) => t === "resync");
      const first = await versionOf(epoch, 1, "first");
      await writer.config.publish(first);
      const hint = await log.until("config hint", ({ t }) => t === "config");
      assert.ok(hint.t === "config" && hint.version === 1 && hint.epoch === epoch);
      assert.deepEqual(await reader.config.pointer(), { epoch, version: 1 });
      for (const stored of [await reader.config.current(), await reader.config.version(1)]) {
        // A control plane signs what passes through it.
        assert.deepEqual(stored && { ...stored, body: openUnverified(stored.body) }, first.next);
      }
      await assert.rejects(writer.config.publish(first), isCode("ERR_VERSION_CONFLICT"));
      const history = await reader.config.history(10);
      assert.deepEqual(
        history.map(({ version, author, message, changes }) => ({ version, author, message, changes })),
        [{ version: 1, author: "suite", message: "first", changes: 1 }],
      );
      log.stop();
    });

    it("lets exactly one of many concurrent writers win (I7)", async () => {
      const request = await versionOf(epoch, 2);
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, index) => (index % 2 === 0 ? writer : reader).config.publish(request)),
      );
      assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
      for (const result of results)
        if (result.status === "rejected")
          assert.ok(isCode("ERR_VERSION_CONFLICT")(result.reason), String(result.reason));
      assert.equal((await reader.config.pointer())?.version, 2);
    });

    it("keeps the last 20 versions and the history of all", async () => {
      for (let version = 3; version <= 23; version++) await writer.config.publish(await versionOf(epoch, version));
      assert.equal(await reader.config.version(3), null);
      assert.equal((await reader.config.version(4))?.version, 4);
      assert.deepEqual(
        (await reader.config.history(3)).map(({ version }) => version),
        [23, 22, 21],
      );
      assert.equal((await reader.config.history(100)).length, 23);
    });

    it("shows instances to everybody, tells of changes and not of heartbeats", async () => {
      const member = await fixture.openAs("orders");
      const log = new HintLog(reader);
      await log.until("resync", ({ t }) => t === "resync");
      await member.registry.register(record("orders-1"), 15_000);
      await log.until("endpoints hint", (hint) => hint.t === "endpoints" && hint.service === "orders");
      assert.deepEqual(
        (await reader.registry.instances()).map(({ id, address }) => `${id} ${address}`),
        ["orders-1 127.0.0.1:4001"],
      );
      log.hints.length = 0;
      await member.registry.register(record("orders-1", { appliedVersion: 7, seenAtMs: Date.now() + 1 }), 15_000);
      await pause(150);
      assert.deepEqual(
        log.hints.filter(({ t }) => t === "endpoints"),
        [],
      );
      assert.equal((await reader.registry.instances())[0]?.appliedVersion, 7);
      await member.registry.register(record("orders-1", { weight: 5 }), 15_000);
      await log.until("endpoints hint", ({ t }) => t === "endpoints");
      log.stop();
      await member.close();
    });

    it("forgets an instance at once when it leaves, remembering that it left, and silently when its lease ends", async () => {
      const member = await fixture.openAs("orders");
      const log = new HintLog(reader);
      await log.until("resync", ({ t }) => t === "resync");
      log.hints.length = 0;
      await member.registry.deregister("orders-1", "orders", "default");
      await log.until("endpoints hint", ({ t }) => t === "endpoints");
      assert.deepEqual(await reader.registry.instances(), []);
      assert.deepEqual(await reader.registry.departed(), ["orders-1"]);
      await member.registry.register(record("orders-2"), 1_000);
      assert.equal((await reader.registry.instances()).length, 1);
      await eventually("the lease to end", async () => (await reader.registry.instances()).length === 0);
      assert.ok(!(await reader.registry.departed()).includes("orders-2"));
      await member.registry.register(record("orders-1"), 15_000);
      assert.deepEqual(
        (await reader.registry.instances()).map(({ id }) => id),
        ["orders-1"],
      );
      assert.ok(!(await reader.registry.departed()).includes("orders-1"));
      log.stop();
      await member.close();
    });

    it("carries votes until they expire or are withdrawn", async () => {
      const member = await fixture.openAs("orders");
      const log = new HintLog(reader);
      await log.until("resync", ({ t }) => t === "resync");
      const vote = {
        service: "billing",
        namespace: "default",
        endpoint: "127.0.0.1:5001",
        voter: "orders-1",
        expiresAtMs: Date.now() + 60_000,
      };
      await member.breaker.vote(vote);
      await log.until("vote", ({ t }) => t === "vote" || t === "breaker");
      assert.deepEqual(await reader.breaker.votes(), [vote]);
      await member.breaker.withdraw(vote);
      assert.deepEqual(await reader.breaker.votes(), []);
      await member.breaker.vote({ ...vote, expiresAtMs: Date.now() + 300 });
      await eventually("the vote to expire", async () => (await reader.breaker.votes()).length === 0);
      log.stop();
      await member.close();
    });

    it("carries an operator's orders until they expire or are reset", async () => {
      const log = new HintLog(reader);
      await log.until("resync", ({ t }) => t === "resync");
      const order = {
        service: "billing",
        namespace: "default",
        endpoint: "127.0.0.1:5001",
        state: "forced-open",
        expiresAtMs: Date.now() + 60_000,
      } as const;
      await writer.breaker.override(order);
      await writer.breaker.override({ ...order, endpoint: null, state: "forced-closed" });
      await log.until("breaker hint", ({ t }) => t === "breaker");
      const shown = (await reader.breaker.overrides()).map(({ endpoint, state }) => `${endpoint} ${state}`).sort();
      assert.deepEqual(shown, ["127.0.0.1:5001 forced-open", "null forced-closed"]);
      await writer.breaker.reset("billing", "default", "127.0.0.1:5001");
      assert.deepEqual(
        (await reader.breaker.overrides()).map(({ state }) => state),
        ["forced-closed"],
      );
      await writer.breaker.reset("billing", "default", null);
      assert.deepEqual(await reader.breaker.overrides(), []);
      await writer.breaker.override({ ...order, expiresAtMs: Date.now() + 200 });
      await eventually("the order to expire", async () => (await reader.breaker.overrides()).length === 0);
      log.stop();
    });

    it("fails with ERR_STORE_UNAVAILABLE after close, if at all", async () => {
      const closed = await fixture.open();
      await closed.close();
      await closed.config
        .pointer()
        .catch((error: unknown) => assert.ok(isCode("ERR_STORE_UNAVAILABLE")(error), String(error)));
    });
  });
}
