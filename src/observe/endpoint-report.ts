/** Endpoints and breakers as the admin API shows them. The JSON is a contract: fields are added, never renamed. */
import type { Cluster } from "../balance/cluster.ts";
import type { EndpointState } from "../balance/endpoint.ts";
import type { Clock } from "../clock.ts";
import type { BreakerPosition, BreakerSource } from "./events.ts";

export interface ServiceReport {
  readonly service: string;
  readonly namespace: string;
  readonly endpoints: readonly EndpointReport[];
}

export interface EndpointReport {
  readonly address: string;
  readonly instance: string | null;
  readonly zone: string | null;
  readonly weight: number;
  readonly identity: string | null;
  readonly breaker: BreakerPosition;
  /** Who decided the breaker's position. */
  readonly source: BreakerSource;
  /** True while no request but a probe goes there. An open one still takes requests if the pool cannot spare it. */
  readonly ejected: boolean;
  /** Until the next probe; null unless open. */
  readonly openForMs: number | null;
  readonly inFlight: number;
  readonly latencyEwmaMs: number;
}

/** By namespace and service, endpoints by address: two readings can be compared. */
export function reportEndpoints(clusters: Iterable<Cluster>, clock: Clock): readonly ServiceReport[] {
  const nowMs = clock.nowMs();
  return [...clusters]
    .map(({ service, namespace, endpoints }) => ({
      service,
      namespace,
      endpoints: endpoints
        .map((endpoint) => reportEndpoint(endpoint, nowMs))
        .sort((a, b) => compare(a.address, b.address)),
    }))
    .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.service, b.service));
}

export interface BreakerReport {
  readonly service: string;
  readonly namespace: string;
  readonly endpoint: string;
  readonly state: BreakerPosition;
  readonly source: BreakerSource;
  readonly openForMs: number | null;
}

export function reportBreakers(clusters: Iterable<Cluster>, clock: Clock): readonly BreakerReport[] {
  return reportEndpoints(clusters, clock).flatMap(({ service, namespace, endpoints }) =>
    endpoints.map(({ address, breaker, source, openForMs }) => ({
      service,
      namespace,
      endpoint: address,
      state: breaker,
      source,
      openForMs,
    })),
  );
}

function reportEndpoint(endpoint: EndpointState, nowMs: number): EndpointReport {
  const { record, breaker, inFlight } = endpoint;
  const { current } = breaker;
  return {
    address: record.address,
    instance: record.instance,
    zone: record.zone,
    weight: record.weight,
    identity: record.identity,
    breaker: current.kind,
    source: breaker.source,
    ejected: endpoint.isEjected,
    openForMs: current.kind === "open" ? Math.max(0, Math.round(current.untilMs - nowMs)) : null,
    inFlight,
    latencyEwmaMs: Math.round(endpoint.latencyEwmaMs * 100) / 100,
  };
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
