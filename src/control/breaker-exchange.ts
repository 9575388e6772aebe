/** The reading end of the fleet breaker: brings what others say to whoever decides. It writes nothing. */
import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import { startLooking } from "./look.ts";
import type { BreakerOverride, BreakerVote, Store } from "./store.ts";

/** What the votes and orders are for; `FleetBreaker` fits. */
export interface BreakerAudience {
  onVote(vote: BreakerVote): void;
  onWithdraw(vote: BreakerVote): void;
  onVotes(votes: readonly BreakerVote[]): void;
  onOverrides(overrides: readonly BreakerOverride[]): void;
  tick(): void;
}

export interface FollowBreakerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly fleet: BreakerAudience;
  /** How often everything is read again, for hints that got lost. @default 30000 */
  readonly pollMs?: number;
}

export interface BreakerFollower {
  /** Settles after the store was asked once, whatever came of it. */
  readonly started: Promise<void>;
  close(): void;
}

/**
 * Follows votes and orders until closed. A vote arrives whole in its hint, so acting on one costs no read; orders are rare and
 * are read when a hint says so. An absent store changes nothing: what was heard expires by itself.
 */
export function followBreaker(options: FollowBreakerOptions): BreakerFollower {
  const { store, clock, random, fleet, pollMs = 30_000 } = options;
  const loop = startLooking(clock, random, pollMs, async () => {
    try {
      const [votes, overrides] = await Promise.all([store.breaker.votes(), store.breaker.overrides()]);
      fleet.onOverrides(overrides);
      fleet.onVotes(votes);
    } catch {
      // Unreachable: decisions stay local, and what has run out is forgotten.
      fleet.tick();
    }
  });
  const unwatch = store.watch((hint) => {
    switch (hint.t) {
      case "vote":
        fleet.onVote(hint);
        return;
      case "withdraw":
        fleet.onWithdraw(hint);
        return;
      case "breaker":
      case "resync":
        loop.nudge();
        return;
      case "config":
      case "endpoints":
    }
  });
  return {
    started: loop.look(),
    close() {
      unwatch();
      loop.stop();
    },
  };
}
