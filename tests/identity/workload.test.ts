import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import type { Authority } from "../../src/identity/authority.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";
import {
  issuedWorkload,
  workloadState,
  type IssuedWorkloadOptions,
  type WorkloadCertificate,
  type WorkloadState,
} from "../../src/identity/workload.ts";
import { seededRandom } from "../../src/random.ts";
import { ManualClock } from "./manual-clock.ts";
import { makeAuthority, serverIdentity } from "./support.ts";

const orders = meshId("mesh.local", "default", "orders");
const hourMs = 3_600_000;

/** A workload beside a CA that can be taken away, under a clock that the test moves. */
class Rig {
  readonly clock = new ManualClock();
  readonly requests: number[] = [];
  readonly failures: string[] = [];
  readonly changes: WorkloadState[] = [];
  isCaAway = false;
  ttlMs = hourMs;
  workload!: WorkloadCertificate;
  authority!: Authority;
  #busy = 0;

  static async start(
    options: { random?: () => number; ttlMs?: number; request?: IssuedWorkloadOptions["request"] } = {},
  ): Promise<Rig> {
    const rig = new Rig();
    rig.ttlMs = options.ttlMs ?? hourMs;
    rig.authority = await makeAuthority("mesh.local", rig.clock);
    rig.workload = await issuedWorkload({
      spiffeId: orders,
      clock: rig.clock,
      random: options.random ?? (() => 0.5),
      events: { certificateFailed: (reason) => rig.failures.push(reason) },
      request: options.request ?? ((csrPem) => rig.#request(csrPem)),
    });
    rig.workload.onChange((state) => rig.changes.push(state));
    return rig;
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms, () => this.#settled());
  }

  async #request(csrPem: string) {
    this.requests.push(this.clock.nowMs());
    this.#busy++;
    try {
      if (this.isCaAway) throw new MeshError("ERR_CONNECT_FAILED", "connection refused");
      const { chainPem } = await this.authority.issue(csrPem, orders, { ttlMs: this.ttlMs });
      return { chainPem, rootsPem: this.authority.rootsPem };
    } finally {
      this.#busy--;
    }
  }

  /** Key generation and verification run on the platform's threads, so they take turns of the real event loop. */
  async #settled(): Promise<void> {
    const known = [this.requests.length, this.changes.length, this.failures.length].join();
    for (let quiet = 0, last = known; quiet < 8;) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      const now = [this.requests.length, this.changes.length, this.failures.length, this.clock.pending].join();
      quiet = now === last && this.#busy === 0 && this.clock.pending > 0 ? quiet + 1 : 0;
      last = now;
      if (this.workload !== undefined && this.#isClosed) return;
    }
  }

  #isClosed = false;
  close(): void {
    this.#isClosed = true;
    this.workload.close();
  }
}

describe("issuedWorkload()", () => {
  it("issuedWorkload() holds a certificate from the start and renews it at half its life", async () => {
    const rig = await Rig.start();
    const first = rig.workload.current;
    assert.deepEqual([first.spiffeId.text, first.generation], [orders.text, 1]);
    await rig.advance(hourMs * 0.49);
    assert.equal(rig.requests.length, 1);
    await rig.advance(hourMs * 0.02);
    assert.equal(rig.requests.length, 2);
    const second = rig.workload.current;
    assert.deepEqual(rig.changes, [second]);
    assert.equal(second.generation, 2);
    assert.notEqual(second.identity.privateKeyPem, first.identity.privateKeyPem, "a renewal has a key of its own");
    assert.ok(second.notAfterMs > first.notAfterMs);
    await rig.advance(hourMs);
    assert.ok(rig.workload.current.generation >= 3);
    rig.close();
  });

  it("issuedWorkload() renews between 40 and 60 per cent, never all at once", async () => {
    const moments: number[] = [];
    for (const value of [0, 0.25, 0.75, 0.999]) {
      const rig = await Rig.start({ random: () => value });
      await rig.advance(hourMs * 0.62);
      moments.push(rig.requests[1]! / hourMs);
      rig.close();
    }
    assert.equal(new Set(moments.map((moment) => moment.toFixed(3))).size, 4);
    for (const moment of moments) assert.ok(moment >= 0.399 && moment <= 0.601, `renewed at ${moment}`);
  });

  it("issuedWorkload() keeps the old certificate while the CA is away, says so, and recovers by itself", async () => {
    const random = seededRandom(7);
    const rig = await Rig.start({ random });
    const first = rig.workload.current;
    rig.isCaAway = true;
    await rig.advance(hourMs * 0.62);
    assert.equal(rig.workload.current, first);
    assert.ok(rig.failures.length > 1);
    assert.match(rig.failures[0]!, /renewal failed \(the certificate at hand lasts \d+ s more\): connection refused/);
    rig.isCaAway = false;
    await rig.advance(120_000);
    assert.equal(rig.workload.current.generation, 2);
    rig.close();
  });

  it("issuedWorkload() asks at most once a minute on average when the CA stays away, and goes on after expiry", async () => {
    const rig = await Rig.start({ random: () => 0.999 });
    rig.isCaAway = true;
    await rig.advance(hourMs * 1.1);
    assert.match(rig.failures.at(-1)!, /the certificate has expired/);
    const minutes = (hourMs * 0.5) / 60_000;
    assert.ok(rig.requests.length < minutes + 20, `${rig.requests.length} requests`);
    rig.isCaAway = false;
    await rig.advance(120_000);
    assert.equal(rig.workload.current.generation, 2);
    rig.close();
  });

  it("issuedWorkload() keeps up with certificates of two seconds", async () => {
    const rig = await Rig.start({ ttlMs: 2000 });
    for (let i = 0; i < 20; i++) {
      await rig.advance(500);
      assert.ok(rig.workload.current.notAfterMs > rig.clock.epochMs(), `expired at ${rig.clock.nowMs()} ms`);
    }
    assert.ok(rig.workload.current.generation >= 5);
    rig.close();
  });

  it("issuedWorkload() fails if the first certificate cannot be had, with the reason", async () => {
    await assert.rejects(
      Rig.start({ request: () => Promise.reject(new MeshError("ERR_TOKEN_REFUSED", "used before")) }),
      /used before/,
    );
  });

  it("issuedWorkload() does not take a certificate over another key, or of another workload", async () => {
    const authority = await makeAuthority();
    const other = await serverIdentity(authority, orders);
    await assert.rejects(
      Rig.start({ request: async () => ({ chainPem: other.certificateChainPem, rootsPem: authority.rootsPem }) }),
      /private key is not the certificate's/,
    );
    const billing = meshId("mesh.local", "default", "billing");
    await assert.rejects(
      Rig.start({
        request: async (csr) => ({
          chainPem: (await authority.issue(csr, billing, { ttlMs: hourMs })).chainPem,
          rootsPem: authority.rootsPem,
        }),
      }),
      /for .*billing, not for .*orders/,
    );
  });

  it("a listener that throws does not keep the others from the new certificate", async () => {
    const rig = await Rig.start();
    rig.workload.onChange(() => {
      throw new Error("broken listener");
    });
    const seen: number[] = [];
    const stop = rig.workload.onChange(({ generation }) => seen.push(generation));
    await rig.advance(hourMs * 0.55);
    assert.deepEqual(seen, [2]);
    assert.match(rig.failures[0]!, /broken listener/);
    stop();
    await rig.advance(hourMs * 0.55);
    assert.deepEqual(seen, [2]);
    rig.close();
  });

  it("close() stops renewing and leaves no timer", async () => {
    const rig = await Rig.start();
    rig.close();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(rig.clock.pending, 0);
    await rig.advance(hourMs * 2);
    assert.equal(rig.requests.length, 1);
    assert.equal(rig.workload.current.generation, 1);
  });
});

describe("workloadState()", () => {
  let authority: Authority;
  before(async () => {
    authority = await makeAuthority();
  });

  it("workloadState() refuses material that does not belong together", async () => {
    const [a, b] = [await serverIdentity(authority, orders), await serverIdentity(authority, orders)];
    const foreign = await makeAuthority();
    const state = (chainPem: string, privateKeyPem: string, rootsPem: readonly string[], nowMs = Date.now()) =>
      workloadState({ chainPem, privateKeyPem, rootsPem }, nowMs, 1);
    assert.equal((await state(a.certificateChainPem, a.privateKeyPem, authority.rootsPem)).spiffeId.text, orders.text);
    await assert.rejects(state(a.certificateChainPem, b.privateKeyPem, authority.rootsPem), /private key is not/);
    await assert.rejects(
      state(a.certificateChainPem, a.privateKeyPem, foreign.rootsPem),
      /signature does not verify|issuer is not known/,
    );
    await assert.rejects(
      state(a.certificateChainPem, a.privateKeyPem, authority.rootsPem, Date.now() + 2 * hourMs),
      /expired/,
    );
    await assert.rejects(state("", a.privateKeyPem, authority.rootsPem), /no CERTIFICATE block/);
    await assert.rejects(state(a.certificateChainPem.slice(0, -30), a.privateKeyPem, authority.rootsPem), /damaged/);
    await assert.rejects(state(authority.rootsPem[0]!, a.privateKeyPem, authority.rootsPem), MeshError);
  });
});
