/** A module that stays: follows a store with its hints, in a process whose sockets and timers outlive a request. */
import type { Clock } from "./clock.ts";
import { followConfig } from "./control/apply.ts";
import { emptySnapshot } from "./control/compile.ts";
import { followBreaker, type BreakerAudience } from "./control/breaker-exchange.ts";
import { followRegistry } from "./control/registry.ts";
import type { Snapshot } from "./control/snapshot.ts";
import type { InstanceRecord, Store } from "./control/store.ts";
import { MeshError } from "./errors.ts";
import type { MeshSource, OnChange } from "./mesh-source.ts";
import type { Events } from "./observe/events.ts";
import type { Random } from "./random.ts";

export interface FollowedSourceOptions {
  readonly store: Store;
  /** The store was opened for this source, and ends with it. */
  readonly ownsStore: boolean;
  readonly mesh: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
  readonly onChange: OnChange;
  /** Gets the word of others about endpoints. */
  readonly audience: () => BreakerAudience;
}

export class FollowedSource implements MeshSource {
  snapshot: Snapshot | null = null;
  readonly #started: Promise<unknown>;
  /** What is in force where the store answers and nothing was published; null while it has not answered. */
  readonly #unpublished: () => Snapshot | null;
  readonly #close: () => Promise<void>;

  constructor({ store, ownsStore, mesh, clock, random, events, onChange, audience }: FollowedSourceOptions) {
    let instances: readonly InstanceRecord[] = [];
    const tell = (): void => {
      if (this.snapshot !== null) onChange(this.snapshot, instances);
    };
    const config = followConfig({
      store,
      mesh,
      clock,
      random,
      events,
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
    this.#started = Promise.all([config.started, registry.started]);
    this.#unpublished = () => {
      if (config.confirmedAtMs === -Infinity) return null;
      this.snapshot = emptySnapshot();
      tell();
      return this.snapshot;
    };
    this.#close = async () => {
      config.close();
      registry.close();
      breaker.close();
      if (ownsStore) await store.close();
    };
  }

  async current(): Promise<Snapshot> {
    if (this.snapshot === null) await this.#started;
    const snapshot = this.snapshot ?? this.#unpublished();
    if (snapshot !== null) return snapshot;
    throw new MeshError("ERR_STORE_UNAVAILABLE", "The store has not answered yet, so no service is known");
  }

  close(): Promise<void> {
    return this.#close();
  }
}
