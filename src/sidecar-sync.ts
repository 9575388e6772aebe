/** What a sidecar shares with its mesh: the config it follows, the endpoints it knows, the word it gives about itself. */
import type { Directory } from "./balance/directory.ts";
import { followBreaker } from "./control/breaker-exchange.ts";
import { followConfig, type ConfigFollower, type LastKnownGood } from "./control/apply.ts";
import { emptySnapshot } from "./control/compile.ts";
import { announce, followRegistry, type Announcement } from "./control/registry.ts";
import { verifySnapshot } from "./control/signature.ts";
import { maxCalls } from "./control/registry-record.ts";
import type { ServiceKey, Snapshot } from "./control/snapshot.ts";
import type { InstanceRecord, Store, StoredSnapshot } from "./control/store.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import type { Events } from "./observe/events.ts";
import { withProvableIdentity } from "./provable-identity.ts";
import type { Files } from "./runtime/files.ts";
import type { SidecarConfig } from "./sidecar-options.ts";
import type { Traffic } from "./traffic.ts";

export interface SyncDeps {
  readonly store: Store;
  readonly traffic: Traffic;
  readonly events: Events;
  readonly files: Files;
  readonly runtime: string;
  readonly workload: WorkloadCertificate | null;
  readonly configKey: () => Promise<CryptoKey | null>;
}

export interface Sync {
  snapshot(): Snapshot;
  /** Instances that have lately called a service. */
  callers(service: ServiceKey): number;
  readonly config: ConfigFollower;
  /** Settles when config and registry were each asked once, whatever came of it. */
  readonly started: Promise<void>;
  /** From now on others find this instance at `address`. Settles after the first attempt. */
  announce(address: string): Promise<void>;
  /** Deregisters at once; following goes on, for requests still in flight. */
  withdraw(): Promise<void>;
  close(): void;
}

export function followMesh(config: SidecarConfig, deps: SyncDeps): Sync {
  const { clock, random, mesh } = config;
  const { store, traffic, events, workload } = deps;
  let snapshot = emptySnapshot();
  let instances: readonly InstanceRecord[] = [];
  let announcement: Announcement | null = null;

  const update = (): void => traffic.directory.update(snapshot, instances);
  const configFollower = followConfig({
    store,
    mesh,
    clock,
    random,
    events,
    open: async (body) => verifySnapshot(body, await deps.configKey(), { required: config.requireSignedConfig }),
    onSnapshot(next) {
      snapshot = next;
      update();
      announcement?.refresh();
    },
    onRefused: () => announcement?.refresh(),
    ...(config.stateDir !== null && {
      lastKnownGood: lastKnownGood(deps.files, `${config.stateDir}/${mesh}.last-known-good.json`),
    }),
  });
  const registryFollower = followRegistry({
    store,
    clock,
    random,
    onInstances(found) {
      instances = found.map((record) => withProvableIdentity(record, workload?.current.spiffeId.trustDomain ?? null));
      update();
    },
  });
  const breakerFollower = followBreaker({ store, clock, random, fleet: traffic.fleet });
  const stopListening = workload?.onChange(() => announcement?.refresh());

  const record = (address: string): InstanceRecord => ({
    id: config.instance,
    service: config.service,
    namespace: config.namespace,
    address,
    addressH2: null,
    spiffeId: workload === null ? "" : workload.current.spiffeId.text,
    zone: config.zone,
    weight: 1,
    runtime: deps.runtime,
    appliedEpoch: configFollower.applied.epoch,
    appliedVersion: configFollower.applied.version,
    state: configFollower.refusal === null ? "applied" : "nacked",
    reason: configFollower.refusal?.reason ?? null,
    certificateExpiresAt: workload === null ? null : new Date(workload.current.notAfterMs).toISOString(),
    seenAtMs: clock.epochMs(),
    calls: recentCalls(traffic.directory, clock.nowMs()),
  });

  return {
    snapshot: () => snapshot,
    callers: (service) => registryFollower.callers(service),
    config: configFollower,
    started: Promise.all([configFollower.started, registryFollower.started]).then(() => undefined),
    async announce(address) {
      announcement = announce({ store, clock, random, record: () => record(address) });
      await announcement.started;
      // Ready includes knowing oneself: the first call through this outbound port may well be to this service.
      await registryFollower.look();
    },
    async withdraw() {
      await announcement?.stop();
    },
    close() {
      breakerFollower.close();
      stopListening?.();
      configFollower.close();
      registryFollower.close();
    },
  };
}

function recentCalls(directory: Directory, nowMs: number): readonly ServiceKey[] {
  const calls: ServiceKey[] = [];
  for (const { key, retryBudget } of directory.clusters())
    if (calls.length < maxCalls && retryBudget.isInUse(nowMs)) calls.push(key);
  return calls;
}

function lastKnownGood(files: Files, path: string): LastKnownGood {
  return {
    async load() {
      const text = await files.readText(path);
      return text === null ? null : (JSON.parse(text) as StoredSnapshot);
    },
    save: (stored) => files.writeAtomic(path, JSON.stringify(stored)),
  };
}
