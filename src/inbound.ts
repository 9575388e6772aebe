/**
 * THE path of a request from a peer to the application. Read it top to bottom: that is the request's way.
 * There is no retry here: only one tier of a mesh may repeat a request, and that is the caller's.
 */
import { stack, type Accepted, type Dispatched, type Handler } from "./exchange.ts";
import { authorize, type AuthorizeDeps } from "./identity/authorize.ts";
import { identify, type IdentifyDeps } from "./identity/identify.ts";
import { cleanInbound, type CleanInboundDeps } from "./listener/hygiene.ts";
import type { Events } from "./observe/events.ts";
import { observe } from "./observe/observe.ts";
import { trace, type TraceDeps } from "./observe/trace.ts";
import { deadline, type DeadlineDeps } from "./policy/deadline.ts";
import { limit } from "./policy/limit.ts";
import { rescue, type RescueDeps } from "./rescue.ts";
import { toApplication, type ApplicationDeps } from "./route/application.ts";

export interface InboundDeps
  extends AuthorizeDeps, IdentifyDeps, CleanInboundDeps, TraceDeps, DeadlineDeps, RescueDeps, ApplicationDeps {
  readonly events: Events;
  readonly send: Handler<Dispatched>;
}

export function inbound(deps: InboundDeps): Handler<Accepted> {
  return (
    stack<Accepted>()
      // Highest: it must see every reply, also those `rescue` makes.
      .through(observe(deps))
      .through(rescue(deps))
      .through(trace(deps))
      .through(identify(deps))
      // Right below identify: replaces whatever the peer claimed about itself by what its certificate proved.
      .through(cleanInbound(deps))
      // Before anything is contacted: a refused peer costs the application nothing (L18).
      .through(authorize(deps))
      .through(toApplication(deps))
      // The caller's remaining time, not ours: it shrinks from hop to hop.
      .through(deadline(deps))
      .through(limit())
      .to(deps.send)
  );
}
