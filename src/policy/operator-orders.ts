/** Carries out `fetchmesh breaker open|close|reset`: an operator's word is above every evidence, until it expires. */
import type { Cluster } from "../balance/cluster.ts";
import type { EndpointState } from "../balance/endpoint.ts";
import type { Clock } from "../clock.ts";
import type { BreakerOverride } from "../control/store.ts";
import { forceClosed, forceOpen, reset } from "./breaker.ts";
import type { Breakers } from "./breakers.ts";

export interface OperatorOrdersDeps {
  readonly clock: Clock;
  readonly breakers: Breakers;
  readonly directory: { clusters(): Iterable<Cluster> };
}

/** Longer orders are forgotten orders; the same cap keeps a corrupted date from shutting an endpoint for good. */
const maxOrderMs = 24 * 3_600_000;
/** As many as an operator could mean; the rest of a flooded store is not looked at. */
const maxOrders = 10_000;

export class OperatorOrders {
  readonly #deps: OperatorOrdersDeps;
  /** By "namespace/service", then by endpoint; "" is every endpoint. */
  #orders = new Map<string, Map<string, BreakerOverride>>();
  /** What is in force, to tell a new order from a repeated one. */
  readonly #inForce = new Map<EndpointState, BreakerOverride>();

  constructor(deps: OperatorOrdersDeps) {
    this.#deps = deps;
  }

  replace(overrides: readonly BreakerOverride[]): void {
    const epochMs = this.#deps.clock.epochMs();
    this.#orders = new Map();
    for (const order of overrides.slice(0, maxOrders)) {
      // Negated so that NaN is refused, too.
      if (!(order.expiresAtMs > epochMs)) continue;
      const key = `${order.namespace}/${order.service}`;
      const ofService = this.#orders.get(key) ?? new Map<string, BreakerOverride>();
      this.#orders.set(key, ofService.set(order.endpoint ?? "", order));
    }
    const listed = new Set<EndpointState>();
    for (const cluster of this.#deps.directory.clusters()) {
      for (const endpoint of cluster.endpoints) listed.add(endpoint);
      this.apply(cluster);
    }
    for (const endpoint of this.#inForce.keys()) if (!listed.has(endpoint)) this.#inForce.delete(endpoint);
  }

  /** Brings the endpoints of one service in line; the order for an endpoint beats the one for its service. */
  apply(cluster: Cluster): void {
    const ofService = this.#orders.get(cluster.key);
    for (const endpoint of cluster.endpoints) {
      const wanted = ofService?.get(endpoint.record.address) ?? ofService?.get("") ?? null;
      const present = this.#inForce.get(endpoint) ?? null;
      if (wanted?.state === present?.state && wanted?.expiresAtMs === present?.expiresAtMs) continue;
      if (wanted === null) this.#takeBack(cluster, endpoint);
      else this.#force(cluster, endpoint, wanted);
    }
  }

  #force(cluster: Cluster, endpoint: EndpointState, order: BreakerOverride): void {
    const { clock, breakers } = this.#deps;
    const nowMs = clock.nowMs();
    const untilMs = nowMs + Math.min(order.expiresAtMs - clock.epochMs(), maxOrderMs);
    this.#inForce.set(endpoint, order);
    if (untilMs <= nowMs) return;
    if (order.state === "reset") {
      breakers.changed(cluster, endpoint, reset(endpoint.breaker, nowMs));
      return;
    }
    const enforce = order.state === "forced-open" ? forceOpen : forceClosed;
    breakers.changed(cluster, endpoint, enforce(endpoint.breaker, untilMs, nowMs));
  }

  #takeBack(cluster: Cluster, endpoint: EndpointState): void {
    const { clock, breakers } = this.#deps;
    this.#inForce.delete(endpoint);
    // If it has expired meanwhile, the breaker has gone its own way since, and that stands.
    if (endpoint.breaker.source !== "forced") return;
    breakers.changed(cluster, endpoint, reset(endpoint.breaker, clock.nowMs()));
  }
}
