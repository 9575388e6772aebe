/** How much of one service a process may use at once: Envoy's "circuit breaker" thresholds, under the name they deserve. */
import { MeshError } from "../errors.ts";
import type { Exchange, Finisher, Layer, Routed } from "../exchange.ts";

/** Per service and process; Envoy's numbers. */
export interface LimitConfig {
  /** To one endpoint; enforced by the connection pool. @default 1024 */
  readonly maxConnections: number;
  /** Requests whose response head has not arrived. @default 1024 */
  readonly maxPendingRequests: number;
  /** Requests whose response is not complete. @default 1024 */
  readonly maxRequests: number;
  /**
   * Repeats in flight at once. Envoy's 3 fails every fourth request when an endpoint dies under load; like Envoy's, our
   * retry budget takes its place, and it is on by default. @default Infinity
   */
  readonly maxRetries: number;
}

/** What is in use now. Shared by all calls to a service; the numbers allowed come with each request's config. */
export class LimitState {
  requests = 0;
  pending = 0;
  retries = 0;
}

/** Frees the slot of a request when its response is complete, or lost. */
const release: Finisher = {
  finished(x: Exchange): void {
    x.cluster!.limits.requests--;
  },
};

/**
 * Counts requests against the limits of their service: once each, however often they are tried. What a repeat may cost is
 * the business of the retry budget and `maxRetries`.
 *
 * @throws {MeshError} ERR_OVERLOADED (503, `UO`, `x-envoy-overloaded`)
 */
export function limit<X extends Routed>(): Layer<X> {
  return (next) => async (x) => {
    const { limits } = x.cluster;
    const { maxRequests, maxPendingRequests } = x.route.backend.config.limits;
    if (limits.requests >= maxRequests) throw overloaded(x, "requests", maxRequests);
    if (limits.pending >= maxPendingRequests) throw overloaded(x, "pending requests", maxPendingRequests);
    limits.requests++;
    limits.pending++;
    x.atFinish(release);
    try {
      return await next(x);
    } finally {
      limits.pending--;
    }
  };
}

function overloaded(x: Routed, what: string, allowed: number): MeshError {
  x.responseEdits.set("x-envoy-overloaded", "true");
  return new MeshError("ERR_OVERLOADED", `${allowed} ${what} to ${x.cluster.service} are in flight, the limit here`, {
    advice: `Call again later, or raise spec.limits in a BackendPolicy for ${x.cluster.service}`,
    retryAfterMs: 1_000,
  });
}
