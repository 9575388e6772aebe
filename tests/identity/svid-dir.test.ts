import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Authority } from "../../src/identity/authority.ts";
import { meshId, type SpiffeId } from "../../src/identity/spiffe-id.ts";
import { watchedWorkload, type SvidFiles } from "../../src/identity/svid-dir.ts";
import type { WorkloadCertificate } from "../../src/identity/workload.ts";
import type { TlsIdentity } from "../../src/runtime/contract.ts";
import { ManualClock } from "./manual-clock.ts";
import { makeAuthority, serverIdentity } from "./support.ts";

const orders = meshId("mesh.local", "default", "orders");

/** A directory in memory that counts how often it is read. */
class Directory implements SvidFiles {
  readonly texts = new Map<string, string>();
  reads = 0;
  #changed: (() => void) | null = null;

  async read(name: string): Promise<string | null> {
    this.reads++;
    return this.texts.get(name) ?? null;
  }

  watch(changed: () => void): () => void {
    this.#changed = changed;
    return () => {
      this.#changed = null;
    };
  }

  get isWatched(): boolean {
    return this.#changed !== null;
  }

  put(name: string, text: string): void {
    this.texts.set(name, text);
    this.#changed?.();
  }

  putAll(identity: TlsIdentity, authority: Authority): void {
    this.put("svid.pem", identity.certificateChainPem);
    this.put("svid_key.pem", identity.privateKeyPem);
    this.put("bundle.pem", authority.rootsPem.join(""));
  }
}

class Rig {
  readonly clock = new ManualClock();
  readonly directory = new Directory();
  readonly failures: string[] = [];
  authority!: Authority;
  workload!: WorkloadCertificate;

  static async start(): Promise<Rig> {
    const rig = new Rig();
    rig.authority = await makeAuthority("mesh.local", rig.clock);
    rig.directory.putAll(await rig.issue(), rig.authority);
    rig.workload = await watchedWorkload({
      files: rig.directory,
      clock: rig.clock,
      events: { certificateFailed: (reason) => rig.failures.push(reason) },
    });
    return rig;
  }

  issue(id: SpiffeId = orders): Promise<TlsIdentity> {
    return serverIdentity(this.authority, id);
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms, async () => {
      // A look is over when it has set its next timer.
      for (let turns = 0; turns < 500 && (this.clock.pending === 0 || turns < 3); turns++)
        await new Promise((resolve) => setTimeout(resolve, 1));
    });
  }
}

describe("watchedWorkload()", () => {
  it("watchedWorkload() takes what is there and follows a rotation", async () => {
    const rig = await Rig.start();
    assert.deepEqual([rig.workload.current.spiffeId.text, rig.workload.current.generation], [orders.text, 1]);
    const seen: number[] = [];
    rig.workload.onChange(({ generation }) => seen.push(generation));
    const next = await rig.issue();
    rig.directory.putAll(next, rig.authority);
    await rig.advance(1000);
    assert.deepEqual(seen, [2]);
    assert.equal(rig.workload.current.identity.privateKeyPem, next.privateKeyPem);
    rig.workload.close();
  });

  it("watchedWorkload() keeps the last good files while new ones are half written, without an alarm if that is short", async () => {
    const rig = await Rig.start();
    const first = rig.workload.current;
    const next = await rig.issue();
    rig.directory.put("svid.pem", next.certificateChainPem.slice(0, 200));
    await rig.advance(150);
    rig.directory.put("svid.pem", next.certificateChainPem);
    await rig.advance(150);
    assert.equal(rig.workload.current, first);
    rig.directory.put("svid_key.pem", next.privateKeyPem);
    await rig.advance(1000);
    assert.equal(rig.workload.current.identity.privateKeyPem, next.privateKeyPem);
    assert.deepEqual(rig.failures, []);
    rig.workload.close();
  });

  it("watchedWorkload() says once what is wrong with files that stay unfit, and looks ever more rarely", async () => {
    const rig = await Rig.start();
    const first = rig.workload.current;
    rig.directory.put("svid_key.pem", (await rig.issue()).privateKeyPem);
    await rig.advance(30_000);
    assert.equal(rig.workload.current, first);
    assert.equal(rig.failures.length, 1, rig.failures.join("\n"));
    assert.match(rig.failures[0]!, /last good ones stay: .*private key is not the certificate's/);
    assert.ok(rig.directory.reads < 60, `${rig.directory.reads} reads`);
    rig.workload.close();
  });

  it("watchedWorkload() notices a change nobody told it of", async () => {
    const rig = await Rig.start();
    const next = await rig.issue();
    rig.directory.texts.set("svid.pem", next.certificateChainPem).set("svid_key.pem", next.privateKeyPem);
    await rig.advance(31_000);
    assert.equal(rig.workload.current.generation, 2);
    rig.workload.close();
  });

  it("watchedWorkload() follows a new bundle alone: new roots are believed before anything they signed is presented", async () => {
    const rig = await Rig.start();
    const other = await makeAuthority();
    rig.directory.put("bundle.pem", rig.authority.rootsPem.join("") + other.rootsPem.join(""));
    await rig.advance(1000);
    assert.equal(rig.workload.current.trust.rootsPem.length, 2);
    assert.equal(rig.workload.current.generation, 2);
    rig.workload.close();
  });

  it("watchedWorkload() does not let a sidecar become somebody else", async () => {
    const rig = await Rig.start();
    rig.directory.putAll(await rig.issue(meshId("mesh.local", "default", "billing")), rig.authority);
    await rig.advance(10_000);
    assert.equal(rig.workload.current.spiffeId.text, orders.text);
    assert.match(rig.failures.join(), /is now for .*billing, not for .*orders/);
    rig.workload.close();
  });

  it("watchedWorkload() says when the files expire without having been replaced", async () => {
    const rig = await Rig.start();
    await rig.advance(3_700_000);
    assert.match(rig.failures.join(), /svid\.pem has expired and was not replaced/);
    rig.workload.close();
  });

  it("watchedWorkload() refuses to start on what is unusable, and names the file", async () => {
    for (const name of ["svid.pem", "svid_key.pem", "bundle.pem"]) {
      const rig = await Rig.start();
      rig.workload.close();
      rig.directory.texts.delete(name);
      const start = watchedWorkload({ files: rig.directory, clock: rig.clock, events: {} });
      await assert.rejects(start, new RegExp(`${name.replace(".", "\\.")} is missing`));
    }
  });

  it("close() stops watching and leaves no timer", async () => {
    const rig = await Rig.start();
    assert.equal(rig.directory.isWatched, true);
    rig.workload.close();
    assert.equal(rig.directory.isWatched, false);
    assert.equal(rig.clock.pending, 0);
  });
});
