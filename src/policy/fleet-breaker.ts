/**
 * What callers tell each other about endpoints. Every decision stays local: votes can open an endpoint earlier than this
 * caller's own failures would, never keep one shut against its own success, and without a store nothing changes at all.
 */
import type { Cluster } from "../balance/cluster.ts";
import type { EndpointState } from "../balance/endpoint.ts";
import type { Clock } from "../clock.ts";
import type { ServiceKey } from "../control/snapshot.ts";
import type { BreakerOverride, BreakerStore, BreakerVote } from "../control/store.ts";
import { openByQuorum, retimeQuorum } from "./breaker.ts";
import type { BreakerListener, Breakers } from "./breakers.ts";
import { OperatorOrders } from "./operator-orders.ts";
import { Tally } from "./tally.ts";

export interface FleetBreakerDeps {
  readonly clock: Clock;
  readonly breakers: Breakers;
  readonly directory: { find(service: ServiceKey): Cluster | undefined; clusters(): Iterable<Cluster> };
  /** Where votes go; `null` keeps every decision local. Called only when a breaker opens or closes, and never waited for. */
  readonly store: Pick<BreakerStore, "vote" | "withdraw"> | null;
  /** Instance id of this caller. */
  readonly voter: string;
  /** Callers that have lately called a service; 0 if nobody knows. */
  readonly callers: (service: ServiceKey) => number;
}

/** Nobody is shut out for longer on hearsay alone; also how long a vote is worth anything. */
const maxHearsayMs = 60_000;
/** Clocks of two machines may differ by this; a vote from further in the future is a forgery or a defect. */
const clockSkewMs = 60_000;
/** Of one reading of the store; a mesh in which more breakers are open at once needs no votes to know it is in trouble. */
const maxVotes = 10_000;

export class FleetBreaker implements BreakerListener {
  readonly #deps: FleetBreakerDeps;
  readonly #orders: OperatorOrders;
  readonly #tallies = new Map<EndpointState, Tally>();
  /** Endpoints by address, for each array of them that was ever looked into. */
  readonly #byAddress = new WeakMap<readonly EndpointState[], ReadonlyMap<string, EndpointState>>();
  /** Votes of ours that others may still count. */
  readonly #cast = new Map<EndpointState, BreakerVote>();

  constructor(deps: FleetBreakerDeps) {
    this.#deps = deps;
    this.#orders = new OperatorOrders(deps);
    deps.breakers.listen(this);
  }

  /** A breaker of ours opened on our own evidence. */
  opened(cluster: Cluster, endpoint: EndpointState, untilMs: number): void {
    const { clock, store, voter } = this.#deps;
    // An endpoint that has left the registry is nobody's concern any more: its last requests may well fail.
    if (!cluster.config.breaker.isShared || store === null || !endpoint.isListed) return;
    const lastsMs = Math.min(untilMs - clock.nowMs(), maxHearsayMs);
    const vote: BreakerVote = {
      service: cluster.service,
      namespace: cluster.namespace,
      endpoint: endpoint.record.address,
      voter,
      expiresAtMs: Math.round(clock.epochMs() + lastsMs),
    };
    this.#cast.set(endpoint, vote);
    // A vote that is lost costs others a few failures of their own, which is what they have without us.
    store.vote(vote).catch(() => {});
  }

  /** The endpoint answered us well: our vote is void, and for one opening's length others' votes are no news to us. */
  closed(cluster: Cluster, endpoint: EndpointState): void {
    const { clock, store } = this.#deps;
    const tally = this.#tallies.get(endpoint);
    if (tally !== undefined) tally.disbelievedUntilMs = clock.nowMs() + cluster.config.breaker.openMs;
    const vote = this.#cast.get(endpoint);
    if (vote === undefined) return;
    this.#cast.delete(endpoint);
    if (vote.expiresAtMs > clock.epochMs()) store?.withdraw(vote).catch(() => {});
  }

  onVote(vote: BreakerVote): void {
    const found = this.#locate(vote);
    if (found === null || !this.#isCredible(vote)) return;
    const [cluster, endpoint] = found;
    this.#tallyOf(endpoint).add(vote.voter, vote.expiresAtMs);
    this.#decide(cluster, endpoint);
  }

  onWithdraw(vote: BreakerVote): void {
    const found = this.#locate(vote);
    if (found === null) return;
    const [cluster, endpoint] = found;
    if (this.#tallies.get(endpoint)?.delete(vote.voter) === true) this.#decide(cluster, endpoint);
  }

  /** All votes the store holds: after a (re)connection and from time to time, since hints get lost. */
  onVotes(votes: readonly BreakerVote[]): void {
    for (const tally of this.#tallies.values()) tally.clear();
    for (const vote of votes.slice(0, maxVotes)) {
      const found = this.#locate(vote);
      if (found !== null && this.#isCredible(vote)) this.#tallyOf(found[1]).add(vote.voter, vote.expiresAtMs);
    }
    this.tick();
  }

  /** All orders of operators that the store holds. What is missing from the list is taken back. */
  onOverrides(overrides: readonly BreakerOverride[]): void {
    this.#orders.replace(overrides);
  }

  /** Membership changed: newcomers fall under the orders for their service. */
  endpointsChanged(cluster: Cluster): void {
    this.#orders.apply(cluster);
  }

  /** Forgets what has expired. Decisions do not wait for it: an opening carries its own end. */
  tick(): void {
    const epochMs = this.#deps.clock.epochMs();
    const listed = new Set<EndpointState>();
    for (const cluster of this.#deps.directory.clusters()) {
      for (const endpoint of cluster.endpoints) {
        listed.add(endpoint);
        if (this.#tallies.has(endpoint)) this.#decide(cluster, endpoint);
      }
    }
    for (const [endpoint, tally] of this.#tallies) {
      tally.expire(epochMs);
      const isDisbelieved = tally.disbelievedUntilMs > this.#deps.clock.nowMs();
      if (!listed.has(endpoint) || (tally.size === 0 && !isDisbelieved)) this.#tallies.delete(endpoint);
    }
    for (const [endpoint, vote] of this.#cast) if (vote.expiresAtMs <= epochMs) this.#cast.delete(endpoint);
  }

  #decide(cluster: Cluster, endpoint: EndpointState): void {
    const { clock, breakers, callers } = this.#deps;
    const { isShared, quorum } = cluster.config.breaker;
    const tally = this.#tallies.get(endpoint);
    if (!isShared || tally === undefined) return;
    const nowMs = clock.nowMs();
    const epochMs = clock.epochMs();
    const needed = Math.max(2, Math.ceil(quorum * callers(cluster.key)));
    const agreedUntilMs = nowMs + tally.agreedFor(needed, epochMs);
    const { breaker } = endpoint;
    if (breaker.current.kind === "open" && breaker.current.source === "quorum") {
      retimeQuorum(breaker, Math.min(agreedUntilMs, breaker.sinceMs + maxHearsayMs));
      cluster.refresh();
      return;
    }
    if (agreedUntilMs <= nowMs || tally.disbelievedUntilMs > nowMs || !mayOpenByQuorum(cluster)) return;
    const change = openByQuorum(breaker, Math.min(agreedUntilMs, nowMs + maxHearsayMs), nowMs);
    if (change !== null) breakers.changed(cluster, endpoint, change);
  }

  #tallyOf(endpoint: EndpointState): Tally {
    let tally = this.#tallies.get(endpoint);
    if (tally === undefined) this.#tallies.set(endpoint, (tally = new Tally()));
    return tally;
  }

  /** Only endpoints we know, so that nobody can make us remember what does not exist. */
  #locate({ namespace, service, endpoint }: BreakerVote): readonly [Cluster, EndpointState] | null {
    const cluster = this.#deps.directory.find(`${namespace}/${service}`);
    if (cluster === undefined) return null;
    let byAddress = this.#byAddress.get(cluster.endpoints);
    if (byAddress === undefined) {
      byAddress = new Map(cluster.endpoints.map((each) => [each.record.address, each]));
      this.#byAddress.set(cluster.endpoints, byAddress);
    }
    const found = byAddress.get(endpoint);
    return found === undefined ? null : [cluster, found];
  }

  /** Our own vote tells us nothing new; one without an honest end could be repeated by anybody at any time. */
  #isCredible({ voter, expiresAtMs }: BreakerVote): boolean {
    const leftMs = expiresAtMs - this.#deps.clock.epochMs();
    return (
      voter !== this.#deps.voter &&
      voter.length > 0 &&
      voter.length <= 256 &&
      leftMs > 0 &&
      leftMs <= maxHearsayMs + clockSkewMs
    );
  }
}

/** Votes may open half of a pool and no more: so a pool of one is never opened by them. */
function mayOpenByQuorum({ endpoints }: Cluster): boolean {
  let opened = 0;
  for (const { breaker } of endpoints) if (breaker.current.kind !== "closed" && breaker.source === "quorum") opened++;
  return opened + 1 <= Math.floor(endpoints.length / 2);
}
