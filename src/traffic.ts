/** Puts together what the data path of one process shares: directory, breakers and the fleet's word about them. */
import { Directory } from "./balance/directory.ts";
import type { Clock } from "./clock.ts";
import type { ServiceKey } from "./control/snapshot.ts";
import type { BreakerStore } from "./control/store.ts";
import { fanOut, type Events } from "./observe/events.ts";
import { Breakers } from "./policy/breakers.ts";
import { createBreaker } from "./policy/breaker.ts";
import { classifyError, classifyStatus } from "./policy/classify.ts";
import { FleetBreaker } from "./policy/fleet-breaker.ts";
import { LimitState } from "./policy/limit.ts";
import { RetryBudget } from "./policy/retry-budget.ts";
import type { Random } from "./random.ts";
import { TimerWheel } from "./timer-wheel.ts";

export interface TrafficOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
  /** Instance id: what others count this caller's votes under. */
  readonly voter: string;
  /** Where breaker votes go; null: every decision stays local. */
  readonly votes: Pick<BreakerStore, "vote" | "withdraw"> | null;
  /** Callers that have lately called a service. @default nobody knows: two votes are a quorum */
  readonly callers?: (service: ServiceKey) => number;
}

/** Everything `route`, `deadline`, `retry` and `balance` ask for, and what feeds it. */
export interface Traffic {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
  readonly wheel: TimerWheel;
  readonly directory: Directory;
  readonly breakers: Breakers;
  readonly fleet: FleetBreaker;
  readonly classifyStatus: typeof classifyStatus;
  readonly classifyError: typeof classifyError;
}

export function createTraffic(options: TrafficOptions): Traffic {
  const { clock, random, events, voter, votes, callers = () => 0 } = options;
  const breakers = new Breakers({ clock, random, events });
  const directory: Directory = new Directory({
    clock,
    // Newcomers fall under standing orders before their first request.
    events: fanOut([{ endpointsChanged: (cluster) => fleet.endpointsChanged(cluster) }, events]),
    parts: {
      retryBudget: (config) => new RetryBudget(config.retryBudget),
      limits: () => new LimitState(),
      breaker: createBreaker,
    },
  });
  const fleet = new FleetBreaker({ clock, breakers, directory, store: votes, voter, callers });
  return {
    clock,
    random,
    events,
    wheel: new TimerWheel(clock),
    directory,
    breakers,
    fleet,
    classifyStatus,
    classifyError,
  };
}
