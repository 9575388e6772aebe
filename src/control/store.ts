/**
 * Where the mesh keeps what its members must agree on. One contract, four implementations (memory, file, redis, http), one
 * test suite.
 *
 * The store carries; it is not trusted to be right. A hint says "look", the envelope is the truth, and what is read is
 * verified and validated by the reader. Absent is not empty: `null` means "nothing known", never "clear it".
 */

/** A published version as it lies in the store: text, because the reader verifies it byte by byte. */
export interface StoredSnapshot {
  readonly epoch: string;
  readonly version: number;
  /** Envelope as canonical JSON, or a compact JWS around it. See `snapshot.ts`. */
  readonly body: string;
}

export interface SnapshotPointer {
  readonly epoch: string;
  readonly version: number;
}

export interface HistoryEntry {
  readonly version: number;
  readonly author: string;
  readonly message: string;
  /** RFC 3339. */
  readonly at: string;
  /** Documents created, updated or deleted by this version. */
  readonly changes: number;
}

export interface PublishRequest {
  /** 0 when nothing was published yet. The write happens only if this is still the current version. */
  readonly expectedVersion: number;
  readonly next: StoredSnapshot;
  readonly history: HistoryEntry;
  readonly digest: string;
}

export interface ConfigStore {
  /** The newest pointer, without the body. `null` if nothing was ever published or the key is missing. */
  pointer(): Promise<SnapshotPointer | null>;
  /** @throws {MeshError} ERR_STORE_UNAVAILABLE; ERR_STORE_CORRUPT if a pointer names a body that is missing */
  current(): Promise<StoredSnapshot | null>;
  version(version: number): Promise<StoredSnapshot | null>;
  /** Newest first. */
  history(limit: number): Promise<readonly HistoryEntry[]>;
  /** Compare-and-set. @throws {MeshError} ERR_VERSION_CONFLICT */
  publish(request: PublishRequest): Promise<void>;
}

/** What a sidecar says of itself. Addresses are where others reach it. */
export interface InstanceRecord {
  readonly id: string;
  readonly service: string;
  readonly namespace: string;
  /** mTLS h1 inbound, `host:port`. */
  readonly address: string;
  /** mTLS h2 inbound; null where it is not open. */
  readonly addressH2: string | null;
  readonly spiffeId: string;
  readonly zone: string | null;
  readonly weight: number;
  readonly runtime: string;
  readonly appliedEpoch: string;
  readonly appliedVersion: number;
  readonly state: "applied" | "stale" | "nacked";
  /** Why the newest version was refused; null otherwise. */
  readonly reason: string | null;
  /** RFC 3339; null without a certificate. */
  readonly certificateExpiresAt: string | null;
  /** Epoch ms of the last heartbeat, by the writer's clock. */
  readonly seenAtMs: number;
  /** Services it has lately called, as `namespace/name`, at most 64: how many callers a breaker quorum is a share of. */
  readonly calls?: readonly string[] | undefined;
}

export interface RegistryStore {
  /** Creates or renews a lease; a renewal that changes nothing visible sends no hint. */
  register(record: InstanceRecord, ttlMs: number): Promise<void>;
  deregister(id: string, service: string, namespace: string): Promise<void>;
  instances(): Promise<readonly InstanceRecord[]>;
  /** Ids that deregistered within the last ten minutes: tells leaving from falling silent (I13). */
  departed(): Promise<readonly string[]>;
}

/** One caller's word that it opened its breaker for an endpoint. */
export interface BreakerVote {
  readonly service: string;
  readonly namespace: string;
  readonly endpoint: string;
  readonly voter: string;
  /** Epoch ms. */
  readonly expiresAtMs: number;
}

/** An operator's word. `endpoint: null` means every endpoint of the service. */
export interface BreakerOverride {
  readonly service: string;
  readonly namespace: string;
  readonly endpoint: string | null;
  /** `reset` takes effect once at each caller: back to closed, with everything counted so far forgotten. */
  readonly state: "forced-open" | "forced-closed" | "reset";
  /** Epoch ms. */
  readonly expiresAtMs: number;
}

export interface BreakerStore {
  vote(vote: BreakerVote): Promise<void>;
  /** The voter closed its breaker again before the vote expired. */
  withdraw(vote: BreakerVote): Promise<void>;
  votes(): Promise<readonly BreakerVote[]>;
  override(override: BreakerOverride): Promise<void>;
  /** Removes overrides and votes of a service or of one endpoint. */
  reset(service: string, namespace: string, endpoint: string | null): Promise<void>;
  overrides(): Promise<readonly BreakerOverride[]>;
}

/** At most 200 bytes of JSON each; a lost one costs time until the next poll, never correctness. */
export type Hint =
  | { readonly t: "config"; readonly epoch: string; readonly version: number; readonly digest: string }
  | { readonly t: "endpoints"; readonly service: string; readonly namespace: string }
  | ({ readonly t: "vote" } & BreakerVote)
  | ({ readonly t: "withdraw" } & BreakerVote)
  | { readonly t: "breaker" }
  /** The subscription was (re)established: whatever was missed must be read again. */
  | { readonly t: "resync" };

export interface Store {
  readonly kind: "memory" | "file" | "redis" | "http";
  /** For messages: URL without credentials. */
  readonly name: string;
  readonly config: ConfigStore;
  readonly registry: RegistryStore;
  readonly breaker: BreakerStore;
  /** Calls `listener` for every hint until the returned function is called. Delivers `resync` once the subscription stands. */
  watch(listener: (hint: Hint) => void): () => void;
  /** False while the store cannot be reached. */
  readonly isConnected: boolean;
  close(): Promise<void>;
}
