/** Who runs which version: what operators look at, and what `apply --wait` waits for. */
import { sleep, type Clock } from "../clock.ts";
import type { InstanceRecord, SnapshotPointer, Store } from "./store.ts";

export interface SidecarStatus {
  readonly service: string;
  readonly namespace: string;
  readonly instance: string;
  readonly runtime: string;
  readonly address: string;
  readonly appliedVersion: number;
  readonly state: "applied" | "stale" | "nacked";
  readonly reason: string | null;
  /** RFC 3339. */
  readonly certificateExpiresAt: string | null;
  readonly lastSeenMs: number;
}

export interface MeshStatus {
  readonly version: number;
  readonly sidecars: readonly SidecarStatus[];
}

export async function meshStatus(store: Store, clock: Clock): Promise<MeshStatus> {
  const [pointer, instances] = await Promise.all([store.config.pointer(), store.registry.instances()]);
  const nowMs = clock.epochMs();
  const sidecars = instances.map((record) => sidecarStatus(record, pointer, nowMs));
  const order = (row: SidecarStatus): string => `${row.namespace}/${row.service}/${row.instance}`;
  return { version: pointer?.version ?? 0, sidecars: sidecars.sort((a, b) => (order(a) < order(b) ? -1 : 1)) };
}

function sidecarStatus(record: InstanceRecord, pointer: SnapshotPointer | null, nowMs: number): SidecarStatus {
  const { service, namespace, id, runtime, address, appliedVersion, reason, certificateExpiresAt, seenAtMs } = record;
  // What it says of itself may be older than the newest version.
  const state = record.state === "applied" && !runs(record, pointer) ? "stale" : record.state;
  return {
    service,
    namespace,
    instance: id,
    runtime,
    address,
    appliedVersion,
    state,
    reason,
    certificateExpiresAt,
    lastSeenMs: Math.max(0, Math.round(nowMs - seenAtMs)),
  };
}

const runs = (record: InstanceRecord, pointer: SnapshotPointer | null): boolean =>
  pointer === null || (record.appliedEpoch === pointer.epoch && record.appliedVersion >= pointer.version);

/** How a version reached the sidecars. Times count from the moment the operator's request was read. */
export interface AppliedReport {
  readonly sidecars: number;
  readonly of: number;
  readonly p50Ms: number;
  readonly maxMs: number;
}

// Each look is one read of the registry; sidecars write theirs the moment they have applied.
const lookEveryMs = 10;
// A refusal that is older than this version says nothing about it; a sidecar that is still refusing after a second does.
const nackIsNewMs = 1_000;

/** Waits until every registered sidecar has applied `version` or refused it, at most `timeoutMs`. */
export async function waitUntilApplied(
  store: Store,
  version: number,
  beganAtMs: number,
  timeoutMs: number,
  clock: Clock,
): Promise<AppliedReport> {
  const endsAtMs = clock.nowMs() + timeoutMs;
  const tookMs = new Map<string, number>();
  for (;;) {
    const [pointer, instances] = await Promise.all([store.config.pointer(), store.registry.instances()]);
    const epoch = pointer?.epoch ?? "";
    let isSettled = true;
    for (const record of instances) {
      if (runs(record, { epoch, version })) {
        // Seen by us is the upper bound; the sidecar's own clock knows better where both run on one machine.
        const seenMs = clock.epochMs() - beganAtMs;
        if (!tookMs.has(record.id)) tookMs.set(record.id, Math.max(0, Math.min(seenMs, record.seenAtMs - beganAtMs)));
      } else if (record.state !== "nacked" || clock.epochMs() - beganAtMs < nackIsNewMs) isSettled = false;
    }
    if (isSettled || clock.nowMs() >= endsAtMs) {
      const times = instances.flatMap(({ id }) => tookMs.get(id) ?? []).sort((a, b) => a - b);
      return {
        sidecars: times.length,
        of: instances.length,
        p50Ms: Math.round(times[(times.length - 1) >> 1] ?? 0),
        maxMs: Math.round(times.at(-1) ?? 0),
      };
    }
    await sleep(clock, Math.min(lookEveryMs, Math.max(1, endsAtMs - clock.nowMs())));
  }
}
