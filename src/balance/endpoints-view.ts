/** The endpoints of all services as `GET /endpoints` of the admin API shows them; a contract of the command line. */
import type { BreakerPosition, BreakerSource } from "../observe/events.ts";
import type { Cluster } from "./cluster.ts";

export interface EndpointView {
  readonly address: string;
  readonly instance: string | null;
  readonly zone: string | null;
  readonly weight: number;
  readonly breaker: BreakerPosition;
  readonly source: BreakerSource;
  readonly ejected: boolean;
  readonly inFlight: number;
  readonly latencyEwmaMs: number;
}

export interface EndpointsView {
  readonly services: readonly {
    readonly service: string;
    readonly namespace: string;
    readonly endpoints: readonly EndpointView[];
  }[];
}

/** Sorted by namespace and name, so that two looks can be compared. Built when asked for, never kept. */
export function endpointsView(clusters: Iterable<Cluster>): EndpointsView {
  const services = [...clusters].map(({ service, namespace, endpoints }) => ({
    service,
    namespace,
    endpoints: endpoints.map(({ record, breaker, isEjected, inFlight, latencyEwmaMs }) => ({
      address: record.address,
      instance: record.instance,
      zone: record.zone,
      weight: record.weight,
      breaker: breaker.current.kind,
      source: breaker.source,
      ejected: isEjected,
      inFlight,
      latencyEwmaMs: Math.round(latencyEwmaMs * 1_000) / 1_000,
    })),
  }));
  const nameOf = (view: (typeof services)[number]): string => `${view.namespace}/${view.service}`;
  return { services: services.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)) };
}
