/** Both ends of the registry: saying that one is there, and knowing who is. */
import { sleep, type Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import { startLooking } from "./look.ts";
import { serviceKey, type ServiceKey } from "./snapshot.ts";
import type { InstanceRecord, Store } from "./store.ts";

export interface AnnounceOptions {
  readonly store: Store;
  /** The record as of now; asked before every write. */
  readonly record: () => InstanceRecord;
  readonly clock: Clock;
  readonly random: Random;
  /** Life of the lease without a heartbeat; one is sent every third of it. @default 15000 */
  readonly ttlMs?: number;
}

export interface Announcement {
  /** Settles after the first attempt to register, successful or not. */
  readonly started: Promise<void>;
  /** Writes the record now: a version was applied or refused, a certificate renewed. */
  refresh(): void;
  /** Deregisters at once and stops. Waits at most a second for the store. */
  stop(): Promise<void>;
}

/** Keeps one instance registered until stopped; again as soon as a store that was away is back. */
export function announce(options: AnnounceOptions): Announcement {
  const { store, record, clock, random, ttlMs = 15_000 } = options;
  let isStopped = false;
  const loop = startLooking(clock, random, ttlMs / 3, async () => {
    if (isStopped) return;
    // A store that cannot be reached is asked again with the next beat; its `resync` comes earlier.
    await store.registry.register(record(), ttlMs).catch(() => {});
  });
  const unwatch = store.watch((hint) => {
    if (hint.t === "resync") loop.nudge();
  });
  return {
    started: loop.look(),
    refresh: () => loop.nudge(),
    async stop() {
      if (isStopped) return;
      isStopped = true;
      unwatch();
      // A heartbeat under way would bring the record back after it was removed.
      const quiet = loop.look();
      loop.stop();
      const { id, service, namespace } = record();
      const leave = quiet.then(() => store.registry.deregister(id, service, namespace)).catch(() => {});
      await Promise.race([leave, sleep(clock, 1_000)]);
    },
  };
}

export interface FollowRegistryOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** Called with everybody there is whenever that changes. */
  readonly onInstances: (instances: readonly InstanceRecord[]) => void;
  /** @default 5000 */
  readonly pollMs?: number;
  /** The lease of those who announce. @default 15000 */
  readonly ttlMs?: number;
  /** How long the members of a pool that fell silent are kept. @default 600000 */
  readonly graceMs?: number;
}

export interface RegistryFollower {
  /** Instances that have lately called a service, as they said with their last heartbeats. */
  callers(service: ServiceKey): number;
  /** Settles after the store was asked once, whatever came of it. */
  readonly started: Promise<void>;
  look(): Promise<void>;
  close(): void;
}

/** Knows who is registered. What a store does not show any more is only believed gone where that is plausible (I13, R16). */
export function followRegistry(options: FollowRegistryOptions): RegistryFollower {
  const { store, clock, random, onInstances, pollMs = 5_000, ttlMs = 15_000, graceMs = 600_000 } = options;
  const members = new Membership(ttlMs, graceMs);
  let told = "";
  let callers = new Map<ServiceKey, number>();
  const loop = startLooking(clock, random, pollMs, async () => {
    try {
      const present = await store.registry.instances();
      const departed = members.misses(present) ? await store.registry.departed() : [];
      const known = members.update(present, new Set(departed), clock.nowMs());
      callers = countCallers(present);
      const text = known.map(visible).sort().join("\n");
      if (text === told) return;
      told = text;
      onInstances(known);
    } catch {
      // Unreachable: everybody known stays known.
    }
  });
  const unwatch = store.watch((hint) => {
    if (hint.t === "endpoints" || hint.t === "resync") loop.nudge();
  });
  return {
    started: loop.look(),
    callers: (service) => callers.get(service) ?? 0,
    look: () => loop.look(),
    close() {
      unwatch();
      loop.stop();
    },
  };
}

function countCallers(present: readonly InstanceRecord[]): Map<ServiceKey, number> {
  const callers = new Map<ServiceKey, number>();
  for (const { calls = [] } of present) for (const key of calls) callers.set(key, (callers.get(key) ?? 0) + 1);
  return callers;
}

/** What callers act on: a heartbeat changes none of it. */
function visible(record: InstanceRecord): string {
  return JSON.stringify([
    record.namespace,
    record.service,
    record.id,
    record.address,
    record.addressH2,
    record.spiffeId,
    record.zone,
    record.weight,
  ]);
}

interface Silent {
  readonly record: InstanceRecord;
  readonly sinceMs: number;
  /** Still counts, because too many others fell silent with it. */
  isKept: boolean;
}

/**
 * Decides who still counts. An instance that leaves says so; one that falls silent alone is dropped with its lease; if most
 * of a service falls silent within one lease, the registry is the likelier culprit, and they stay until it recovers, others
 * take their place, or the grace ends.
 */
export class Membership {
  readonly #ttlMs: number;
  readonly #graceMs: number;
  #present: ReadonlyMap<string, InstanceRecord> = new Map();
  readonly #silent = new Map<string, Silent>();

  constructor(ttlMs: number, graceMs: number) {
    this.#ttlMs = ttlMs;
    this.#graceMs = graceMs;
  }

  /** Whether somebody who counted is not in `present`. */
  misses(present: readonly InstanceRecord[]): boolean {
    const ids = new Set(present.map(({ id }) => id));
    return this.#silent.size > 0 || [...this.#present.keys()].some((id) => !ids.has(id));
  }

  update(present: readonly InstanceRecord[], departed: ReadonlySet<string>, nowMs: number): readonly InstanceRecord[] {
    const next = new Map(present.map((record) => [record.id, record]));
    for (const [id, record] of this.#present)
      if (!next.has(id)) this.#silent.set(id, { record, sinceMs: nowMs, isKept: false });
    this.#present = next;
    const live = new Map<ServiceKey, number>();
    const addresses = new Set<string>();
    for (const record of present) {
      const key = keyOf(record);
      live.set(key, (live.get(key) ?? 0) + 1);
      addresses.add(record.address);
    }
    const silent = new Map<ServiceKey, Silent[]>();
    for (const [id, entry] of this.#silent) {
      // One that was dropped is remembered for a lease, in case the others follow.
      const lastsMs = entry.isKept ? this.#graceMs : this.#ttlMs;
      const isOver =
        next.has(id) || departed.has(id) || addresses.has(entry.record.address) || nowMs - entry.sinceMs > lastsMs;
      if (isOver) this.#silent.delete(id);
      else silent.set(keyOf(entry.record), [...(silent.get(keyOf(entry.record)) ?? []), entry]);
    }
    const kept: InstanceRecord[] = [];
    for (const [key, entries] of silent) {
      const isSuspicious = entries.length > (live.get(key) ?? 0);
      for (const entry of entries) {
        entry.isKept = isSuspicious;
        if (isSuspicious) kept.push(entry.record);
      }
    }
    return [...present, ...kept];
  }
}

const keyOf = (record: InstanceRecord): ServiceKey => serviceKey(record.namespace, record.service);
