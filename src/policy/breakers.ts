/** Runs the breakers of all endpoints: feeds them outcomes, and tells the pool, the listeners and the fleet what changed. */
import type { Cluster } from "../balance/cluster.ts";
import type { EndpointState } from "../balance/endpoint.ts";
import type { Clock } from "../clock.ts";
import type { Events } from "../observe/events.ts";
import type { Random } from "../random.ts";
import {
  abandoned,
  failed,
  isProbeDue,
  startProbe,
  succeeded,
  type BreakerChange,
  type BreakerConfig,
} from "./breaker.ts";
import type { Outcome } from "./classify.ts";

/** Who passes local decisions on to other callers. */
export interface BreakerListener {
  opened(cluster: Cluster, endpoint: EndpointState, untilMs: number): void;
  closed(cluster: Cluster, endpoint: EndpointState): void;
}

export interface BreakersDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
}

export class Breakers {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #events: Events;
  #listener: BreakerListener | null = null;

  constructor(deps: BreakersDeps) {
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#events = deps.events;
  }

  /** Hears of local openings and closings from now on. */
  listen(listener: BreakerListener): void {
    this.#listener = listener;
  }

  /** An ejected endpoint that this request may try, admitted as its only probe; `null` if none is due. */
  probe(cluster: Cluster, tried: readonly EndpointState[] | null): EndpointState | null {
    const nowMs = this.#clock.nowMs();
    if (nowMs < cluster.choice.nextProbeMs) return null;
    for (const endpoint of cluster.choice.ejected) {
      if (tried?.includes(endpoint) || !isProbeDue(endpoint.breaker, nowMs)) continue;
      const change = startProbe(endpoint.breaker, nowMs);
      this.changed(cluster, endpoint, change);
      return endpoint;
    }
    return null;
  }

  /** How an attempt ended. What was admitted before the last transition is old news and changes nothing. */
  report(cluster: Cluster, endpoint: EndpointState, generation: number, outcome: Outcome, config: BreakerConfig): void {
    const { breaker } = endpoint;
    if (breaker.generation !== generation) return;
    switch (outcome) {
      case "success": {
        const change = succeeded(breaker, config, this.#clock.nowMs());
        if (change !== null) this.changed(cluster, endpoint, change);
        return;
      }
      case "failure": {
        const change = failed(breaker, config, this.#clock.nowMs(), this.#random);
        if (change !== null) this.changed(cluster, endpoint, change);
        return;
      }
      case "nothing":
        if (breaker.current.kind !== "half-open") return;
        abandoned(breaker);
        cluster.refresh();
    }
  }

  /** Publishes a transition whoever made it. `null`: none, but the pool may look different (a probe was admitted). */
  changed(cluster: Cluster, endpoint: EndpointState, change: BreakerChange | null): void {
    cluster.refresh();
    if (change === null) return;
    this.#events.breakerChanged?.(cluster, endpoint, change.from, change.to, change.source);
    const { current } = endpoint.breaker;
    if (change.source !== "local" || this.#listener === null) return;
    if (current.kind === "open") this.#listener.opened(cluster, endpoint, current.untilMs);
    else if (current.kind === "closed") this.#listener.closed(cluster, endpoint);
  }
}
