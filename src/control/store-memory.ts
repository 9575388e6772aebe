/** The store of one process: `dev`, `demo`, tests, and whatever else keeps its control plane in memory. */
import { systemClock, type Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { visibleText } from "./registry-record.ts";
import type {
  BreakerOverride,
  BreakerVote,
  ConfigStore,
  Hint,
  HistoryEntry,
  InstanceRecord,
  RegistryStore,
  BreakerStore,
  Store,
  StoredSnapshot,
} from "./store.ts";

/** As many versions as stay readable, as in Redis. */
export const keptVersions = 20;
export const keptHistory = 1_000;
/** How long a store remembers who left on its own account: the grace of `followRegistry`. */
export const departedMs = 600_000;

export function memoryStore(clock: Clock = systemClock): Store {
  return new MemoryStore(clock);
}

class MemoryStore implements Store {
  readonly kind = "memory";
  readonly name = "memory";
  readonly isConnected = true;
  readonly #clock: Clock;
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly #versions = new Map<number, StoredSnapshot>();
  #history: HistoryEntry[] = [];
  #current: StoredSnapshot | null = null;
  readonly #instances = new Map<string, { record: InstanceRecord; expiresAtMs: number }>();
  readonly #departed = new Map<string, number>();
  readonly #votes = new Map<string, BreakerVote>();
  readonly #overrides = new Map<string, BreakerOverride>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly config: ConfigStore = {
    pointer: async () =>
      this.#current === null ? null : { epoch: this.#current.epoch, version: this.#current.version },
    current: async () => this.#current,
    version: async (version) => this.#versions.get(version) ?? null,
    history: async (limit) => this.#history.slice(0, limit),
    publish: async ({ expectedVersion, next, history, digest }) => {
      const version = this.#current?.version ?? 0;
      if (version !== expectedVersion) {
        throw new MeshError("ERR_VERSION_CONFLICT", `the current version is ${version}, not ${expectedVersion}`);
      }
      this.#current = next;
      this.#versions.set(next.version, next);
      for (const old of this.#versions.keys()) if (this.#versions.size > keptVersions) this.#versions.delete(old);
      this.#history = [history, ...this.#history].slice(0, keptHistory);
      this.#tell({ t: "config", epoch: next.epoch, version: next.version, digest });
    },
  };

  readonly registry: RegistryStore = {
    register: async (record, ttlMs) => {
      const known = this.#live().get(record.id)?.record;
      this.#departed.delete(record.id);
      this.#instances.set(record.id, { record, expiresAtMs: this.#clock.nowMs() + ttlMs });
      if (known === undefined || visibleText(known) !== visibleText(record))
        this.#tell({ t: "endpoints", service: record.service, namespace: record.namespace });
    },
    deregister: async (id, service, namespace) => {
      this.#departed.set(id, this.#clock.nowMs());
      if (this.#instances.delete(id)) this.#tell({ t: "endpoints", service, namespace });
    },
    instances: async () => [...this.#live().values()].map(({ record }) => record),
    departed: async () => {
      const nowMs = this.#clock.nowMs();
      for (const [id, leftAtMs] of this.#departed) if (nowMs - leftAtMs > departedMs) this.#departed.delete(id);
      return [...this.#departed.keys()];
    },
  };

  readonly breaker: BreakerStore = {
    vote: async (vote) => {
      this.#votes.set(voteKey(vote), vote);
      this.#tell({ t: "vote", ...vote });
    },
    withdraw: async (vote) => {
      if (this.#votes.delete(voteKey(vote))) this.#tell({ t: "withdraw", ...vote });
    },
    votes: async () => this.#unexpired(this.#votes),
    override: async (override) => {
      this.#overrides.set(placeKey(override), override);
      this.#tell({ t: "breaker" });
    },
    reset: async (service, namespace, endpoint) => {
      for (const kept of [this.#votes, this.#overrides] as Map<string, BreakerVote | BreakerOverride>[]) {
        for (const [key, entry] of kept) if (isOf(entry, service, namespace, endpoint)) kept.delete(key);
      }
      this.#tell({ t: "breaker" });
    },
    overrides: async () => this.#unexpired(this.#overrides),
  };

  watch(listener: (hint: Hint) => void): () => void {
    // Its own function per call: the same listener may watch twice.
    const entry = (hint: Hint): void => listener(hint);
    this.#listeners.add(entry);
    queueMicrotask(() => {
      if (this.#listeners.has(entry)) entry({ t: "resync" });
    });
    return () => void this.#listeners.delete(entry);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }

  /** Told later, as over a network: a writer must not find itself inside its readers. */
  #tell(hint: Hint): void {
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener(hint);
    });
  }

  #live(): Map<string, { record: InstanceRecord; expiresAtMs: number }> {
    const nowMs = this.#clock.nowMs();
    for (const [id, { expiresAtMs }] of this.#instances) if (expiresAtMs <= nowMs) this.#instances.delete(id);
    return this.#instances;
  }

  #unexpired<T extends { readonly expiresAtMs: number }>(entries: Map<string, T>): T[] {
    const nowMs = this.#clock.epochMs();
    for (const [key, { expiresAtMs }] of entries) if (expiresAtMs <= nowMs) entries.delete(key);
    return [...entries.values()];
  }
}

const placeKey = (place: { service: string; namespace: string; endpoint: string | null }): string =>
  `${place.namespace}/${place.service}/${place.endpoint ?? ""}`;
const voteKey = (vote: BreakerVote): string => `${placeKey(vote)}/${vote.voter}`;

/** `endpoint: null` in a reset means all of the service, the override for all of them included. */
export function isOf(
  entry: BreakerVote | BreakerOverride,
  service: string,
  namespace: string,
  endpoint: string | null,
): boolean {
  return (
    entry.service === service && entry.namespace === namespace && (endpoint === null || entry.endpoint === endpoint)
  );
}
