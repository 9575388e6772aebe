/** The mesh's metrics: an `Events` that counts, and a page that reads the rest where it lies when it is scraped. */
import type { Cluster } from "../balance/cluster.ts";
import type { EndpointState } from "../balance/endpoint.ts";
import type { Clock } from "../clock.ts";
import type { MeshError } from "../errors.ts";
import type { Direction, Exchange } from "../exchange.ts";
import type { Events } from "./events.ts";
import { handshakeReason } from "./handshake-reason.ts";
import type { Cell } from "./metric-family.ts";
import { Registry } from "./metrics.ts";
import { idleSeriesMs, requestMetrics, type MeshSelf } from "./request-metrics.ts";
import { scrapedMetrics, type MeshFacts } from "./scraped-metrics.ts";

export interface MeshMetricsOptions {
  readonly clock: Clock;
  readonly self: MeshSelf;
  readonly facts: MeshFacts;
  /** Series per family. @default 1000 */
  readonly maxSeries?: number;
}

export interface MeshMetrics {
  readonly events: Events;
  readonly registry: Registry;
  /** The page of `/metrics`. */
  expose(): string;
}

export function createMeshMetrics(options: MeshMetricsOptions): MeshMetrics {
  const { clock, self, facts } = options;
  const registry = new Registry({ clock, ...(options.maxSeries !== undefined && { maxSeries: options.maxSeries }) });
  const recordRequest = requestMetrics(registry, self);
  const events: Events = {
    ...requestEvents(registry, clock, recordRequest),
    ...refusedEvents(registry),
    ...attemptEvents(registry),
    ...breakerEvents(registry),
    ...connectionEvents(registry),
    ...configEvents(registry, clock, facts),
    ...certificateEvents(registry),
  };
  scrapedMetrics(registry, facts);
  return { events, registry, expose: () => registry.expose() };
}

/** Two cells, looked up by direction without a map. */
class ByDirection {
  readonly #outbound: Cell;
  readonly #inbound: Cell;

  constructor(make: (direction: Direction) => Cell) {
    this.#outbound = make("outbound");
    this.#inbound = make("inbound");
  }

  of(direction: Direction): Cell {
    return direction === "outbound" ? this.#outbound : this.#inbound;
  }
}

function requestEvents(registry: Registry, clock: Clock, record: (x: Exchange, tookMs: number) => void): Events {
  const inFlightFamily = registry.gauge("fetchmesh_requests_in_flight", "Requests accepted and not finished.", [
    "direction",
  ]);
  const inFlight = new ByDirection((direction) => inFlightFamily.cell(direction));
  const receivedFamily = registry.counter("fetchmesh_request_bytes_total", "Body bytes received from callers.", [
    "direction",
  ]);
  const received = new ByDirection((direction) => receivedFamily.cell(direction));
  const sentFamily = registry.counter("fetchmesh_response_bytes_total", "Body bytes sent to callers.", ["direction"]);
  const sent = new ByDirection((direction) => sentFamily.cell(direction));
  const retried = registry.counter(
    "fetchmesh_retried_requests_total",
    "Requests tried more than once, by how they ended.",
    ["service", "namespace", "result"],
  );
  return {
    requestStarted(x) {
      inFlight.of(x.direction).value++;
    },
    requestFinished(x) {
      inFlight.of(x.direction).value--;
      received.of(x.direction).value += x.bytesReceived;
      sent.of(x.direction).value += x.bytesSent;
      if (x.attempt > 1 && x.cluster !== null) {
        retried.cell(x.cluster.service, x.cluster.namespace, x.status >= 500 ? "failure" : "success").value++;
      }
      record(x, clock.nowMs() - x.startedAtMs);
    },
  };
}

function refusedEvents(registry: Registry): Events {
  const refused = registry.counter(
    "fetchmesh_requests_refused_total",
    "Bytes that never became a request, by what was wrong with them.",
    ["direction", "code"],
  );
  return {
    requestRefused(direction, error) {
      refused.cell(direction, error.code).value++;
    },
  };
}

function attemptEvents(registry: Registry): Events {
  const attempts = registry.counter(
    "fetchmesh_attempts_total",
    "Attempts per endpoint, by status class or error code.",
    ["service", "namespace", "endpoint", "result"],
    { idleMs: idleSeriesMs },
  );
  const planned = registry.counter("fetchmesh_retries_total", "Retries, by what was wrong with the attempt before.", [
    "service",
    "namespace",
    "reason",
  ]);
  const refused = registry.counter(
    "fetchmesh_retries_refused_total",
    "Failed attempts that were not repeated, by why not.",
    ["service", "namespace", "reason"],
  );
  // One small map per endpoint; numbers are status classes, strings the codes of a closed union.
  const byEndpoint = new WeakMap<EndpointState, Map<number | string, Cell>>();

  const cellOf = (x: Exchange, endpoint: EndpointState, result: number | string): Cell => {
    let cells = byEndpoint.get(endpoint);
    if (cells === undefined) byEndpoint.set(endpoint, (cells = new Map()));
    let cell = cells.get(result);
    if (cell === undefined || !cell.isLive) {
      const { service, namespace } = namesOf(x.cluster);
      const text = typeof result === "number" ? `${result}xx` : result;
      cells.set(result, (cell = attempts.cell(service, namespace, endpoint.record.address, text)));
    }
    return cell;
  };

  return {
    attemptFinished(x: Exchange, endpoint: EndpointState, status: number, error: MeshError | null) {
      cellOf(x, endpoint, error === null ? Math.floor(status / 100) : error.code).value++;
    },
    retryPlanned(x, reason) {
      const { service, namespace } = namesOf(x.cluster);
      planned.cell(service, namespace, reason).value++;
    },
    retryRefused(x, reason) {
      const { service, namespace } = namesOf(x.cluster);
      refused.cell(service, namespace, reason).value++;
    },
  };
}

function breakerEvents(registry: Registry): Events {
  const ejections = registry.counter(
    "fetchmesh_ejections_total",
    "Times a closed breaker opened.",
    ["service", "namespace", "endpoint", "source"],
    { idleMs: idleSeriesMs },
  );
  const changes = registry.counter("fetchmesh_breaker_changes_total", "Breaker transitions.", [
    "service",
    "namespace",
    "from",
    "to",
    "source",
  ]);
  return {
    breakerChanged(cluster, endpoint, from, to, source) {
      const { service, namespace } = cluster;
      changes.cell(service, namespace, from, to, source).value++;
      if (from === "closed" && to === "open")
        ejections.cell(service, namespace, endpoint.record.address, source).value++;
    },
  };
}

function connectionEvents(registry: Registry): Events {
  const labels = ["direction", "tls"];
  const opened = registry.counter("tcp_open_total", "Connections opened.", labels);
  const closed = registry.counter("tcp_close_total", "Connections closed.", labels);
  const open = registry.gauge("tcp_open_connections", "Connections open now.", labels);
  const refused = registry.counter(
    "fetchmesh_handshakes_refused_total",
    "Connections refused before a request, by why.",
    ["direction", "reason"],
  );
  const tls = (encrypted: boolean): string => (encrypted ? "true" : "no_identity");
  return {
    connectionOpened(direction, encrypted) {
      opened.cell(direction, tls(encrypted)).value++;
      open.cell(direction, tls(encrypted)).value++;
    },
    connectionClosed(direction, encrypted) {
      closed.cell(direction, tls(encrypted)).value++;
      open.cell(direction, tls(encrypted)).value--;
    },
    handshakeRefused(direction, reason) {
      refused.cell(direction, handshakeReason(reason)).value++;
    },
  };
}

function configEvents(registry: Registry, clock: Clock, facts: MeshFacts): Events {
  let version = -1;
  let appliedAtMs = 0;
  let tookMs = 0;
  let isConnected: boolean | null = null;
  registry.scraped(
    "fetchmesh_config_version",
    "Version of the config in force; 0 before the first.",
    "gauge",
    [],
    (emit) => emit(Math.max(0, version)),
  );
  registry.scraped("fetchmesh_config_age_seconds", "Time since that version was applied.", "gauge", [], (emit) => {
    if (version >= 0) emit((clock.nowMs() - appliedAtMs) / 1000);
  });
  registry.scraped(
    "fetchmesh_config_apply_seconds",
    "Time it took to verify, compile and swap it.",
    "gauge",
    [],
    (emit) => {
      if (version >= 0) emit(tookMs / 1000);
    },
  );
  registry.scraped("fetchmesh_store_connected", "1 while the config store can be reached.", "gauge", [], (emit) => {
    const now = facts.storeConnected === undefined ? isConnected : facts.storeConnected();
    if (now !== null) emit(now ? 1 : 0);
  });
  const applied = registry.counter("fetchmesh_config_applied_total", "Config versions applied.").cell();
  const refused = registry
    .counter("fetchmesh_config_refused_total", "Config versions refused; the one before stayed.")
    .cell();
  return {
    configApplied(next, took) {
      version = next;
      appliedAtMs = clock.nowMs();
      tookMs = took;
      applied.value++;
    },
    configRefused() {
      refused.value++;
    },
    storeChanged(connected) {
      isConnected = connected;
    },
  };
}

function certificateEvents(registry: Registry): Events {
  let notAfterMs = 0;
  registry.scraped(
    "identity_cert_expiration_timestamp_seconds",
    "When the certificate in use ends.",
    "gauge",
    [],
    (emit) => {
      if (notAfterMs > 0) emit(notAfterMs / 1000);
    },
  );
  const refreshed = registry.counter("identity_cert_refresh_count", "Certificates received.").cell();
  const failed = registry.counter("fetchmesh_certificate_failures_total", "Certificate renewals that failed.").cell();
  return {
    certificateChanged(next) {
      notAfterMs = next;
      refreshed.value++;
    },
    certificateFailed() {
      failed.value++;
    },
  };
}

function namesOf(cluster: Cluster | null): { service: string; namespace: string } {
  return cluster === null ? { service: "unknown", namespace: "unknown" } : cluster;
}
