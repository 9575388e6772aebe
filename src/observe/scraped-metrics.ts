/** Metrics that are somebody else's state: read when a scraper asks, never kept a second time. */
import type { Cluster } from "../balance/cluster.ts";
import type { EndpointState } from "../balance/endpoint.ts";
import type { Emit, Registry } from "./metrics.ts";

/** What the process uses. Units as Prometheus' own `process_*` metrics have them. */
export interface ProcessFacts {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Epoch seconds. */
  readonly startedAtSeconds: number;
}

export interface MeshFacts {
  readonly version: string;
  /** "bun 1.4.5". */
  readonly runtime: string;
  /** Clusters this process calls. */
  readonly clusters: () => Iterable<Cluster>;
  /** null before there is a store. Absent: as the events last said, which is as of the last poll. */
  readonly storeConnected?: () => boolean | null;
  /** null where the platform does not say. */
  readonly process?: () => ProcessFacts | null;
}

/** Value of `fetchmesh_breaker_state`. */
export const breakerStates = { closed: 0, "half-open": 1, open: 2 } as const;

type EndpointMetric = (endpoint: EndpointState, emit: Emit, labels: readonly [string, string, string]) => void;

export function scrapedMetrics(registry: Registry, facts: MeshFacts): void {
  const perEndpoint = (name: string, help: string, more: readonly string[], metric: EndpointMetric): void => {
    registry.scraped(name, help, "gauge", ["service", "namespace", "endpoint", ...more], (emit) => {
      for (const cluster of facts.clusters()) {
        for (const endpoint of cluster.endpoints)
          metric(endpoint, emit, [cluster.service, cluster.namespace, endpoint.record.address]);
      }
    });
  };
  perEndpoint(
    "fetchmesh_breaker_state",
    "0 closed, 1 half-open, 2 open; `source` says who decided.",
    ["source"],
    ({ breaker }, emit, labels) => {
      emit(breakerStates[breaker.current.kind], ...labels, breaker.source);
    },
  );
  perEndpoint(
    "fetchmesh_endpoint_in_flight",
    "Attempts whose response is not complete.",
    [],
    ({ inFlight }, emit, labels) => {
      emit(inFlight, ...labels);
    },
  );
  perEndpoint(
    "fetchmesh_endpoint_latency_ms",
    "Moving average of the time to a response head; 0 until measured.",
    [],
    ({ latencyEwmaMs }, emit, labels) => {
      emit(latencyEwmaMs, ...labels);
    },
  );
  endpointCounts(registry, facts);
  processMetrics(registry, facts);
}

function endpointCounts(registry: Registry, facts: MeshFacts): void {
  registry.scraped(
    "fetchmesh_endpoints",
    "Endpoints by the state of their breaker.",
    "gauge",
    ["service", "namespace", "state"],
    (emit) => {
      for (const { service, namespace, endpoints } of facts.clusters()) {
        const counts = { closed: 0, "half-open": 0, open: 0 };
        for (const { breaker } of endpoints) counts[breaker.current.kind]++;
        for (const [state, count] of Object.entries(counts)) emit(count, service, namespace, state);
      }
    },
  );
  registry.scraped(
    "outbound_http_balancer_endpoints",
    "Endpoints that may be picked, and those that may not.",
    "gauge",
    ["backend_namespace", "backend_name", "endpoint_state"],
    (emit) => {
      for (const { service, namespace, endpoints } of facts.clusters()) {
        const ready = endpoints.filter((endpoint) => !endpoint.isEjected).length;
        emit(ready, namespace, service, "ready");
        emit(endpoints.length - ready, namespace, service, "pending");
      }
    },
  );
}

function processMetrics(registry: Registry, facts: MeshFacts): void {
  const processFacts = facts.process ?? (() => null);
  const read = (name: string, help: string, type: "counter" | "gauge", pick: (of: ProcessFacts) => number): void => {
    registry.scraped(name, help, type, [], (emit) => {
      const of = processFacts();
      if (of !== null) emit(pick(of));
    });
  };
  read("process_cpu_seconds_total", "User and system CPU time.", "counter", (of) => of.cpuSeconds);
  read("process_resident_memory_bytes", "Resident memory.", "gauge", (of) => of.residentBytes);
  read("process_start_time_seconds", "Start of the process, Unix time.", "gauge", (of) => of.startedAtSeconds);
  const build = (name: string, labelNames: readonly string[], ...values: string[]): void => {
    registry.scraped(name, "What runs here.", "gauge", labelNames, (emit) => emit(1, ...values));
  };
  build("fetchmesh_build_info", ["version", "runtime"], facts.version, facts.runtime);
  build("proxy_build_info", ["version"], facts.version);
  build("istio_build", ["component", "tag"], "proxy", facts.version);
}
