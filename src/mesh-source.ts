/** Where a module gets its config and endpoints: written inline, asked for as requests come, or followed in a store. */
import { sleep, type Clock } from "./clock.ts";
import { compileSnapshot, emptySnapshot } from "./control/compile.ts";
import { decodeEnvelope } from "./control/envelope.ts";
import { httpStore } from "./control/http-store.ts";
import { openUnverified } from "./control/signed-body.ts";
import type { Snapshot } from "./control/snapshot.ts";
import type { InstanceRecord, Store, StoredSnapshot } from "./control/store.ts";
import { compareVersions } from "./control/version.ts";
import { describeError, MeshError } from "./errors.ts";
import type { Events } from "./observe/events.ts";
import type { Random } from "./random.ts";

/** Lets work outlive the response: a worker's `ctx.waitUntil`. */
export type WaitUntil = (work: Promise<unknown>) => void;

/** Told before `current` returns what changed. */
export type OnChange = (snapshot: Snapshot, instances: readonly InstanceRecord[]) => void;

export interface MeshSource {
  readonly snapshot: Snapshot | null;
  /** The config in force. Waits only where there is none yet. @throws {MeshError} if there is none to be had */
  current(waitUntil?: WaitUntil): Promise<Snapshot>;
  close(): Promise<void>;
}

/** Documents as `fetchmesh apply` takes them, already parsed. */
export interface InlineConfig {
  readonly documents: readonly unknown[];
}

export class InlineSource implements MeshSource {
  snapshot: Snapshot | null = null;
  readonly #documents: readonly unknown[];
  readonly #mesh: string;
  readonly #onChange: OnChange;
  #failure: MeshError | null = null;

  constructor({ documents }: InlineConfig, mesh: string, onChange: OnChange) {
    this.#documents = documents;
    this.#mesh = mesh;
    this.#onChange = onChange;
  }

  async current(): Promise<Snapshot> {
    if (this.snapshot !== null) return this.snapshot;
    // What is wrong with them once is wrong with them for good.
    if (this.#failure !== null) throw this.#failure;
    try {
      const body = JSON.stringify({ documents: this.#documents });
      const snapshot = compileSnapshot(await decodeEnvelope({ epoch: "inline", version: 1, body }, this.#mesh));
      // Requests that came meanwhile made the same; one of them stays.
      if (this.snapshot === null) this.#onChange((this.snapshot = snapshot), []);
      return this.snapshot;
    } catch (reason) {
      throw (this.#failure = MeshError.from(reason));
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export interface PulledSourceOptions {
  /** `http(s)://host:port` of a control plane. */
  readonly url: string;
  readonly token: string | null;
  readonly fetch: (request: Request) => Promise<Response>;
  readonly mesh: string;
  readonly refreshMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
  readonly onChange: OnChange;
}

/** Longest that a request waits for news while there is config to go by: a control plane that hangs costs it no more. */
const longestLookMs = 250;
/** While there is none, requests are refused without asking again for so long: an outage is no reason to storm the door. */
const refusedForMs = 1_000;

/**
 * Asks as requests come: a worker has no life between them, and neither a connection nor a promise of one request may serve
 * another. Stale config stays in force while it is looked up again, and when it cannot be.
 */
export class PulledSource implements MeshSource {
  snapshot: Snapshot | null = null;
  readonly #options: PulledSourceOptions;
  readonly #store: Store;
  #lookedAtMs = -Infinity;
  #failure: MeshError | null = null;

  constructor(options: PulledSourceOptions) {
    const { url, token, fetch, clock, random } = options;
    this.#options = options;
    // A stream of hints would belong to the one request that opened it.
    this.#store = httpStore({ control: url, fetch, clock, random, hints: false, ...(token !== null && { token }) });
  }

  async current(waitUntil?: WaitUntil): Promise<Snapshot> {
    const { clock, refreshMs } = this.#options;
    if (this.snapshot === null) return this.#first();
    if (clock.nowMs() - this.#lookedAtMs >= refreshMs) {
      // Marked before the look, so that one request of many looks.
      this.#lookedAtMs = clock.nowMs();
      const looking = this.#look().catch((reason: unknown) => this.#failed(MeshError.from(reason)));
      if (waitUntil === undefined) await Promise.race([looking, sleep(clock, longestLookMs)]);
      else waitUntil(looking);
    }
    return this.snapshot;
  }

  async #first(): Promise<Snapshot> {
    const { clock } = this.#options;
    if (this.#failure !== null && clock.nowMs() - this.#lookedAtMs < refusedForMs) throw this.#failure;
    try {
      return await this.#look();
    } catch (reason) {
      this.#lookedAtMs = clock.nowMs();
      throw this.#failed(MeshError.from(reason));
    }
  }

  #failed(error: MeshError): MeshError {
    this.#failure = error;
    this.#options.events.configRefused?.(this.snapshot?.version ?? 0, describeError(error));
    return error;
  }

  async #look(): Promise<Snapshot> {
    const { clock, mesh, onChange } = this.#options;
    const { config, registry } = this.#store;
    const [stored, instances] = await Promise.all([config.current(), registry.instances()]);
    let refusal: MeshError | null = null;
    let next = this.snapshot;
    if (stored === null) next ??= emptySnapshot();
    else if (next === null || compareVersions(stored, next) > 0) {
      try {
        next = await readSnapshot(stored, mesh);
      } catch (reason) {
        // The endpoints are news all the same.
        if (next === null) throw reason;
        refusal = MeshError.from(reason);
      }
    }
    // A request that asked later may have been answered sooner.
    if (this.snapshot === null || compareVersions(next, this.snapshot) > 0) this.snapshot = next;
    this.#lookedAtMs = clock.nowMs();
    onChange(this.snapshot, instances);
    if (refusal !== null) throw refusal;
    this.#failure = null;
    return this.snapshot;
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

/** TLS says who sent it; a worker carries no key to check the signature inside once more. */
async function readSnapshot(stored: StoredSnapshot, mesh: string): Promise<Snapshot> {
  return compileSnapshot(await decodeEnvelope({ ...stored, body: openUnverified(stored.body) }, mesh));
}
