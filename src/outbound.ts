/**
 * THE path of a request from the application to its peer. Read it top to bottom: that is the request's way.
 * Each line says why it stands at this height.
 */
import { balance, type BalanceDeps } from "./balance/balance.ts";
import { stack, type Accepted, type Dispatched, type Handler } from "./exchange.ts";
import { identifyLocal } from "./identity/identify.ts";
import type { Peer } from "./identity/peer.ts";
import { cleanOutbound } from "./listener/hygiene.ts";
import type { Events } from "./observe/events.ts";
import { observe } from "./observe/observe.ts";
import { trace, type TraceDeps } from "./observe/trace.ts";
import { attemptTimeout, deadline, type DeadlineDeps } from "./policy/deadline.ts";
import { limit } from "./policy/limit.ts";
import { retry, type RetryDeps } from "./policy/retry.ts";
import { rescue, type RescueDeps } from "./rescue.ts";
import { editHeaders } from "./route/edit-headers.ts";
import { route, type RouteDeps } from "./route/route-layer.ts";

export interface OutboundDeps extends BalanceDeps, TraceDeps, DeadlineDeps, RetryDeps, RescueDeps, RouteDeps {
  readonly events: Events;
  /** The application this sidecar stands beside. */
  readonly self: () => Peer;
  readonly send: Handler<Dispatched>;
}

export function outbound(deps: OutboundDeps): Handler<Accepted> {
  return (
    stack<Accepted>()
      // Highest: it must see every reply, also those `rescue` makes.
      .through(observe(deps))
      // Above everything that can refuse: the only place where an error becomes a reply.
      .through(rescue(deps))
      // Before anything can log or call out, so that every line and hop carries the ids.
      .through(trace(deps))
      // Before any station reads a header an application must not set.
      .through(cleanOutbound())
      .through(identifyLocal(deps))
      .through(route(deps))
      // Below route, whose rule brings the edits; above retry, so that they are made once and not per attempt.
      .through(editHeaders())
      // Above retry: the total deadline covers all attempts and the waits between them.
      .through(deadline(deps))
      // Above retry as well: a request counts once against the limits, however often it is tried.
      .through(limit())
      .through(retry(deps))
      // Below retry: each attempt has its own time.
      .through(attemptTimeout(deps))
      // Lowest: an endpoint is picked per attempt, and its breaker hears of each one.
      .through(balance(deps))
      .to(deps.send)
  );
}
