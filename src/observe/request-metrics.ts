/**
 * How requests ended, under the names that existing dashboards ask for: Istio's and Linkerd's.
 *
 * All cells of one outcome are resolved together and kept; a finished request finds them by object identity and one small
 * number. Status, flag, route, service and verified identity are all that is ever a label: nothing of them is the caller's
 * to choose (the authority, path and method are).
 */
import type { Cluster } from "../balance/cluster.ts";
import type { ResponseFlag } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Peer } from "../identity/peer.ts";
import { flagsOf } from "./flags.ts";
import type { Cell, HistogramCell } from "./metric-family.ts";
import type { Registry } from "./metrics.ts";

/** Who this process is in the mesh. */
export interface MeshSelf {
  readonly service: string;
  readonly namespace: string;
  /** Its SPIFFE ID; "" without one. */
  readonly spiffeId: string;
}

/** Envoy's, which Istio's panels were drawn for. */
const istioBoundsMs = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000,
];
/** Linkerd's. */
const linkerdBoundsMs = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000, 30_000,
  40_000, 50_000,
];

const istioLabels = [
  "reporter",
  "source_workload",
  "source_workload_namespace",
  "source_principal",
  "destination_workload",
  "destination_workload_namespace",
  "destination_principal",
  "destination_service",
  "destination_service_name",
  "destination_service_namespace",
  "request_protocol",
  "response_code",
  "response_flags",
  "connection_security_policy",
] as const;
const linkerdLabels = ["direction", "tls", "dst_namespace", "dst_service", "client_id"] as const;
const routeLabels = ["direction", "dst", "rt_route", "classification", "status_code"] as const;

/** Linkerd's: a series nobody adds to says nothing after ten minutes. */
export const idleSeriesMs = 600_000;

/** The response began well and was cut by the other side: no success, whatever its status said. */
const brokenFlags: ReadonlySet<ResponseFlag> = new Set(["UC", "UR", "UT", "SI", "UPE"]);

/** Everything that one outcome is counted in. */
interface Outcome {
  readonly istioRequests: Cell;
  readonly istioDuration: HistogramCell;
  readonly requests: Cell;
  readonly responses: Cell;
  readonly latency: HistogramCell;
  readonly routeResponses: Cell;
}

type Outcomes = Map<number, Outcome>;

/** Records one finished request that took `tookMs`. */
export type RecordRequest = (x: Exchange, tookMs: number) => void;

export function requestMetrics(registry: Registry, self: MeshSelf): RecordRequest {
  const idle = { idleMs: idleSeriesMs };
  const istioRequests = registry.counter(
    "istio_requests_total",
    "Requests, by both sides of the call.",
    istioLabels,
    idle,
  );
  const istioDuration = registry.histogram(
    "istio_request_duration_milliseconds",
    "Time from the request's head to the response's last byte.",
    istioLabels,
    istioBoundsMs,
    idle,
  );
  const requests = registry.counter("request_total", "Requests.", linkerdLabels, idle);
  const responses = registry.counter(
    "response_total",
    "Responses, classified: 5xx and what broke off are failures.",
    [...linkerdLabels, "classification", "status_code"],
    idle,
  );
  const latency = registry.histogram(
    "response_latency_ms",
    "Time from the request's head to the response's last byte.",
    [...linkerdLabels, "status_code"],
    linkerdBoundsMs,
    idle,
  );
  const routeResponses = registry.counter(
    "route_response_total",
    "Responses by the rule that routed them.",
    routeLabels,
    idle,
  );

  const resolve = (x: Exchange, isFailure: boolean): Outcome => {
    const facts = describe(x, self);
    const linkerd = [
      x.direction,
      facts.isMutual ? "true" : "no_identity",
      facts.toNamespace,
      facts.toService,
      x.direction === "inbound" ? facts.from : "",
    ];
    const istio = istioValues(facts);
    const classification = isFailure ? "failure" : "success";
    const rule = x.route === null ? "none" : x.route.rule.name;
    return {
      istioRequests: istioRequests.cell(...istio),
      istioDuration: istioDuration.cell(...istio),
      requests: requests.cell(...linkerd),
      responses: responses.cell(...linkerd, classification, facts.status),
      latency: latency.cell(...linkerd, facts.status),
      routeResponses: routeResponses.cell(x.direction, facts.toHost, rule, classification, facts.status),
    };
  };

  const find = outcomeFinder();
  return (x, tookMs) => {
    const isFailure = x.status >= 500 || brokenFlags.has(x.flag);
    const outcomes = find(x);
    const first = x.error === null ? "" : x.error.flag;
    const key = (x.status << 13) | (flagNumber(first) << 7) | (flagNumber(x.flag) << 1) | (isMutual(x) ? 1 : 0);
    let outcome = outcomes.get(key);
    if (outcome === undefined || !isLive(outcome)) outcomes.set(key, (outcome = resolve(x, isFailure)));
    outcome.istioRequests.value++;
    outcome.istioDuration.observe(tookMs);
    outcome.requests.value++;
    outcome.responses.value++;
    outcome.latency.observe(tookMs);
    outcome.routeResponses.value++;
  };
}

/** Outcomes so far for whatever else tells series apart: the cluster and rule called, or the peer that calls. */
function outcomeFinder(): (x: Exchange) => Outcomes {
  const byCluster = new WeakMap<Cluster, Map<string, Outcomes>>();
  const unrouted = new Map<string, Outcomes>();
  const byPeer = new WeakMap<Peer, Map<string, Outcomes>>();
  return (x) => {
    const peer = x.direction === "inbound" ? x.connection.peer : null;
    let byRule = peer === null ? unrouted : byPeer.get(peer);
    if (byRule === undefined) byPeer.set(peer!, (byRule = new Map()));
    if (x.direction === "outbound" && x.cluster !== null) {
      byRule = byCluster.get(x.cluster);
      if (byRule === undefined) byCluster.set(x.cluster, (byRule = new Map()));
    }
    const rule = x.route === null ? x.direction : x.route.rule.name;
    let outcomes = byRule.get(rule);
    if (outcomes === undefined) {
      // Rules come and go with config versions; what is forgotten here is found again in the families.
      if (byRule.size >= 1000) byRule.clear();
      byRule.set(rule, (outcomes = new Map()));
    }
    return outcomes;
  };
}

function isLive(outcome: Outcome): boolean {
  return (
    outcome.istioRequests.isLive &&
    outcome.istioDuration.isLive &&
    outcome.requests.isLive &&
    outcome.responses.isLive &&
    outcome.latency.isLive &&
    outcome.routeResponses.isLive
  );
}

/** Was the hop between the sidecars mTLS? */
function isMutual(x: Exchange): boolean {
  if (x.direction === "inbound") return x.connection.peer !== null && x.connection.encrypted;
  return x.endpoint !== null && x.endpoint.record.identity !== null;
}

const flagNumbers = new Map<ResponseFlag, number>();

/** 0..63: there are far fewer flags. */
function flagNumber(flag: ResponseFlag): number {
  let number = flagNumbers.get(flag);
  if (number === undefined) flagNumbers.set(flag, (number = flagNumbers.size));
  return number;
}

interface Facts {
  readonly isOutbound: boolean;
  readonly from: string;
  readonly fromService: string;
  readonly fromNamespace: string;
  readonly to: string;
  readonly toService: string;
  readonly toNamespace: string;
  readonly toHost: string;
  readonly status: string;
  readonly flags: string;
  readonly isMutual: boolean;
}

const unknown = "unknown";

function describe(x: Exchange, self: MeshSelf): Facts {
  const isOutbound = x.direction === "outbound";
  const caller = isOutbound ? null : x.connection.peer;
  const toService = isOutbound ? (x.cluster?.service ?? unknown) : self.service;
  const toNamespace = isOutbound ? (x.cluster?.namespace ?? unknown) : self.namespace;
  return {
    isOutbound,
    from: isOutbound ? self.spiffeId : (caller?.id.text ?? unknown),
    fromService: isOutbound ? self.service : (caller?.id.service ?? unknown),
    fromNamespace: isOutbound ? self.namespace : (caller?.id.namespace ?? unknown),
    to: isOutbound ? (x.endpoint?.record.identity ?? unknown) : self.spiffeId,
    toService,
    toNamespace,
    toHost: toService === unknown ? unknown : `${toService}.${toNamespace}.svc.cluster.local`,
    // What is no status comes from a broken upstream, and there are as many of those as numbers.
    status: x.status >= 100 && x.status <= 599 ? String(x.status) : "0",
    flags: flagsOf(x) || "-",
    isMutual: isMutual(x),
  };
}

function istioValues(facts: Facts): string[] {
  return [
    facts.isOutbound ? "source" : "destination",
    facts.fromService,
    facts.fromNamespace,
    facts.from,
    facts.toService,
    facts.toNamespace,
    facts.to,
    facts.toHost,
    facts.toService,
    facts.toNamespace,
    "http",
    facts.status,
    facts.flags,
    facts.isMutual ? "mutual_tls" : "none",
  ];
}
