/** 5 which endpoint: gives every attempt one, and keeps its books. Adds `endpoint` to the exchange. */
import { MeshError } from "../errors.ts";
import type { Dispatched, Layer, Routed } from "../exchange.ts";
import type { Random } from "../random.ts";
import type { Cluster } from "./cluster.ts";
import { Dispatch, type DispatchBook } from "./dispatch.ts";
import type { EndpointState } from "./endpoint.ts";
import { pick } from "./pick.ts";

export interface BalanceDeps extends DispatchBook {
  readonly random: Random;
  readonly breakers: DispatchBook["breakers"] & {
    probe(cluster: Cluster, tried: readonly EndpointState[] | null): EndpointState | null;
  };
}

/**
 * Lowest of the policies: whatever is above it decides about a request, this decides about one attempt.
 *
 * @throws {MeshError} ERR_NO_ENDPOINT (503, `UH`), ERR_CIRCUIT_OPEN (503, `BO` or `BQ`, `retry-after`)
 */
export function balance(deps: BalanceDeps): Layer<Routed, Dispatched> {
  const { breakers, random, clock } = deps;
  return (next) => async (x) => {
    const { cluster } = x;
    const { config } = x.route.backend;
    const endpoint =
      breakers.probe(cluster, x.tried) ?? pick(cluster, config.algorithm, x.tried, random, clock.nowMs());
    if (endpoint === null) throw unavailable(cluster, clock.nowMs());
    x.endpoint = endpoint;
    const dispatch = new Dispatch(deps, cluster, endpoint, config.breaker);
    x.atAttemptEnd(dispatch);
    try {
      const response = await next(x as Dispatched);
      dispatch.responded(response.status);
      return response;
    } catch (reason) {
      const error = MeshError.from(reason);
      dispatch.lost(error);
      throw error;
    }
  };
}

function unavailable(cluster: Cluster, nowMs: number): MeshError {
  const { service, endpoints, choice } = cluster;
  if (endpoints.length === 0) {
    return new MeshError("ERR_NO_ENDPOINT", `No endpoint of ${service} is registered`, {
      advice: `Start a sidecar with --service ${service}, or list endpoints in its Service document`,
    });
  }
  if (choice.ejected.length === 0) {
    return new MeshError("ERR_NO_ENDPOINT", `All ${endpoints.length} endpoints of ${service} have weight 0`, {
      advice: "Give one of them a weight above 0",
    });
  }
  const isByQuorum = choice.ejected.every((endpoint) => endpoint.breaker.source === "quorum");
  return new MeshError(
    "ERR_CIRCUIT_OPEN",
    `${choice.ejected.length} of ${endpoints.length} endpoints of ${service} are ejected, none is left`,
    {
      flag: isByQuorum ? "BQ" : "BO",
      advice: `See who opened them with "fetchmesh endpoints ${service}"; "fetchmesh breaker reset ${service}" takes an operator's word back`,
      retryAfterMs: Number.isFinite(choice.nextProbeMs) ? Math.max(1_000, choice.nextProbeMs - nowMs) : 1_000,
    },
  );
}
