/** The reading end of the fleet breaker: brings what others say to whoever decides. It writes nothing. */
import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import { startLooking } from "./look.ts";
import type { BreakerOverride, BreakerStore, BreakerVote, Store } from "./store.ts";

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
  /** How often everything is read again, for hints that got lost. @default 10000 */
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
  const { store, clock, random, fleet, pollMs = 10_000 } = options;
  /** Votes heard while a reading is under way, which may be older than they are: told again after it. */
  let meanwhile: (() => void)[] | null = null;
  const loop = startLooking(clock, random, pollMs, async () => {
    meanwhile = [];
    try {
      const [votes, overrides] = await Promise.all([store.breaker.votes(), store.breaker.overrides()]);
      fleet.onOverrides(overrides);
      fleet.onVotes(votes);
      for (const tell of meanwhile) tell();
    } catch {
      // Unreachable: decisions stay local, and what has run out is forgotten.
      fleet.tick();
    } finally {
      meanwhile = null;
    }
  });
  const hear = (tell: () => void): void => {
    tell();
    // Beyond this the next reading is as good.
    if (meanwhile !== null && meanwhile.length < 1_000) meanwhile.push(tell);
  };
  const unwatch = store.watch((hint) => {
    switch (hint.t) {
      case "vote":
        hear(() => fleet.onVote(hint));
        return;
      case "withdraw":
        hear(() => fleet.onWithdraw(hint));
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

/** Long enough for every caller to read it, by its poll if the hint is lost; an order nobody needs to remember. */
const resetLastsMs = 30_000;

/** Takes back votes and orders, and has every caller forget what it counted itself. */
export async function orderReset(
  store: BreakerStore,
  clock: Clock,
  { service, namespace, endpoint }: Pick<BreakerOverride, "service" | "namespace" | "endpoint">,
): Promise<void> {
  await store.reset(service, namespace, endpoint);
  await store.override({ service, namespace, endpoint, state: "reset", expiresAtMs: clock.epochMs() + resetLastsMs });
}
