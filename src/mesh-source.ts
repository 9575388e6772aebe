/** Where a module gets its config and endpoints: written inline, asked for as requests come, or followed in a store. */
import type { Clock } from "./clock.ts";
import { followConfig } from "./control/apply.ts";
import { followBreaker, type BreakerAudience } from "./control/breaker-exchange.ts";
import { compileSnapshot } from "./control/compile.ts";
import { decodeEnvelope } from "./control/envelope.ts";
import { httpStore } from "./control/http-store.ts";
import { followRegistry } from "./control/registry.ts";
import { openUnverified } from "./control/signed-body.ts";
import type { Snapshot } from "./control/snapshot.ts";
import type { InstanceRecord, Store } from "./control/store.ts";
import { compareVersions } from "./control/version.ts";
import { MeshError } from "./errors.ts";
import type { Random } from "./random.ts";
import type { TrafficOptions } from "./traffic.ts";

/** Documents as `fetchmesh apply` takes them, already parsed. */
export interface InlineConfig {
  readonly documents: readonly unknown[];
}

export interface MeshSourceOptions {
  readonly store: string | InlineConfig | Store;
  readonly mesh?: string;
  readonly token?: string;
  readonly controlFetch?: (request: Request) => Promise<Response>;
  readonly refreshMs?: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Told before `current` returns what changed. */
  readonly onChange: (snapshot: Snapshot, instances: readonly InstanceRecord[]) => void;
  /** Gets the word of others, where there is a store to hear it from. */
  readonly audience: () => BreakerAudience;
}

export interface MeshSource {
  readonly snapshot: Snapshot | null;
  /** Where breaker votes of this process go. */
  readonly votes: TrafficOptions["votes"];
  /** The config in force. Waits only where there is none yet. */
  current(waitUntil?: (work: Promise<unknown>) => void): Promise<Snapshot>;
  close(): Promise<void>;
}

export function openMeshSource(options: MeshSourceOptions): MeshSource {
  const { store } = options;
  if (typeof store === "string") return new PulledSource(options, remoteStore(store, options));
  return "documents" in store ? new InlineSource(options, store) : new FollowedSource(options, store);
}

class InlineSource implements MeshSource {
  readonly votes = null;
  snapshot: Snapshot | null = null;
  readonly #options: MeshSourceOptions;
  readonly #config: InlineConfig;

  constructor(options: MeshSourceOptions, config: InlineConfig) {
    this.#options = options;
    this.#config = config;
  }

  async current(): Promise<Snapshot> {
    if (this.snapshot !== null) return this.snapshot;
    const { mesh = "default", onChange } = this.#options;
    const body = JSON.stringify({ documents: this.#config.documents });
    const snapshot = compileSnapshot(await decodeEnvelope({ epoch: "inline", version: 1, body }, mesh));
    // Requests that came meanwhile made the same; one of them stays.
    if (this.snapshot === null) onChange((this.snapshot = snapshot), []);
    return this.snapshot;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Asks as requests come: a worker has no life between them, and neither a connection nor a promise of one request may serve
 * another. Stale config stays in force while it is looked up again, and when it cannot be.
 */
class PulledSource implements MeshSource {
  readonly votes = null;
  snapshot: Snapshot | null = null;
  readonly #options: MeshSourceOptions;
  readonly #store: Store;
  #lookedAtMs = -Infinity;

  constructor(options: MeshSourceOptions, store: Store) {
    this.#options = options;
    this.#store = store;
  }

  async current(waitUntil?: (work: Promise<unknown>) => void): Promise<Snapshot> {
    const { clock, refreshMs = 10_000 } = this.#options;
    if (this.snapshot === null) {
      await this.#look();
    } else if (clock.nowMs() - this.#lookedAtMs >= refreshMs) {
      // Marked before the look, so that one request of many looks.
      this.#lookedAtMs = clock.nowMs();
      const looking = this.#look().catch(() => {});
      if (waitUntil === undefined) await looking;
      else waitUntil(looking);
    }
    // Set by `#look`, which throws otherwise.
    return this.snapshot as unknown as Snapshot;
  }

  async #look(): Promise<void> {
    const { clock, mesh = "default", onChange } = this.#options;
    const [stored, instances] = await Promise.all([this.#store.config.current(), this.#store.registry.instances()]);
    let snapshot = this.snapshot;
    if (stored === null) snapshot ??= compileSnapshot({ mesh, epoch: "", version: 0, digest: "", documents: [] });
    else if (snapshot === null || compareVersions(stored, snapshot) > 0) {
      // TLS says who sent it; a worker carries no key to check the signature inside once more.
      snapshot = compileSnapshot(await decodeEnvelope({ ...stored, body: openUnverified(stored.body) }, mesh));
    }
    this.#lookedAtMs = clock.nowMs();
    this.snapshot = snapshot as Snapshot;
    onChange(this.snapshot, instances);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

/** Follows a store that lives in this process, with hints: for applications that stay. The store stays its maker's. */
class FollowedSource implements MeshSource {
  readonly votes: TrafficOptions["votes"];
  snapshot: Snapshot | null = null;
  readonly #started: Promise<unknown>;
  readonly #close: () => void;

  constructor({ mesh = "default", clock, random, onChange, audience }: MeshSourceOptions, store: Store) {
    this.votes = store.breaker;
    let instances: readonly InstanceRecord[] = [];
    const tell = (): void => {
      if (this.snapshot !== null) onChange(this.snapshot, instances);
    };
    const config = followConfig({
      store,
      mesh,
      clock,
      random,
      open: async (body) => openUnverified(body),
      onSnapshot: (snapshot) => {
        this.snapshot = snapshot;
        tell();
      },
    });
    const registry = followRegistry({
      store,
      clock,
      random,
      onInstances(found) {
        instances = found;
        tell();
      },
    });
    const breaker = followBreaker({
      store,
      clock,
      random,
      // Asked for late: who listens is made after the source.
      fleet: {
        onVote: (vote) => audience().onVote(vote),
        onWithdraw: (vote) => audience().onWithdraw(vote),
        onVotes: (votes) => audience().onVotes(votes),
        onOverrides: (overrides) => audience().onOverrides(overrides),
        tick: () => audience().tick(),
      },
    });
    this.#started = Promise.all([config.started, registry.started]).then(() => {
      if (this.snapshot !== null || config.confirmedAtMs === -Infinity) return;
      this.snapshot = compileSnapshot({ mesh, epoch: "", version: 0, digest: "", documents: [] });
      tell();
    });
    this.#close = () => {
      config.close();
      registry.close();
      breaker.close();
    };
  }

  async current(): Promise<Snapshot> {
    if (this.snapshot === null) await this.#started;
    if (this.snapshot !== null) return this.snapshot;
    throw new MeshError("ERR_STORE_UNAVAILABLE", "The store has not answered yet, so no service is known");
  }

  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }
}

function remoteStore(url: string, { token, controlFetch, clock, random }: MeshSourceOptions): Store {
  if (!/^https?:\/\//.test(url)) {
    throw new MeshError("ERR_OPTION_INVALID", `"${url}" is not the URL of a control plane`, {
      advice: "Give https://HOST:PORT, documents, or a store opened by the application",
    });
  }
  return httpStore({
    control: url,
    clock,
    random,
    fetch: controlFetch ?? ((request) => fetch(request)),
    ...(token !== undefined && { token }),
    // A stream of hints would belong to the one request that opened it.
    hints: false,
  });
}
