/** Inbound has one destination: the application beside the sidecar. */
import type { EndpointState } from "../balance/endpoint.ts";
import type { Cluster } from "../balance/cluster.ts";
import type { Dispatched, Finisher, Identified, Layer } from "../exchange.ts";
import { makeRule } from "./rule.ts";

export interface ApplicationDeps {
  /** The application as a cluster of one endpoint, so that limits and in-flight counts mean the same on both sides. */
  readonly application: Cluster;
}

/** Points the exchange at the application. Adds cluster, route and endpoint. */
export function toApplication(deps: ApplicationDeps): Layer<Identified, Dispatched> {
  const { application } = deps;
  const endpoint = application.endpoints[0] as EndpointState;
  const rule = makeRule({
    name: "application",
    backends: [
      { service: application.key, weight: 1, requestFilter: null, responseFilter: null, config: application.config },
    ],
    requestFilter: null,
    responseFilter: null,
    // No time limit of its own: the caller's remaining deadline is the only clock a request has here.
    timeouts: { requestMs: 0, backendRequestMs: 0 },
    retry: { retries: 0, codes: new Set<number>(), backoffBaseMs: 0, backoffMaxMs: 0 },
  });
  const decision = rule.decisions[0]!;
  const release: Finisher = { finished: () => void endpoint.inFlight-- };
  return (next) => (x) => {
    x.cluster = application;
    x.route = decision;
    x.endpoint = endpoint;
    x.attempt = 1;
    endpoint.inFlight++;
    x.atFinish(release);
    return next(x as Dispatched);
  };
}
