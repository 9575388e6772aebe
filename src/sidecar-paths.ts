/** The two stacks of a sidecar over its runtime's sockets: what `outbound.ts` and `inbound.ts` need, made once. */
import { EndpointState } from "./balance/endpoint.ts";
import { ServiceCluster } from "./balance/cluster.ts";
import { serviceKey, type ServiceKey } from "./control/snapshot.ts";
import type { Accepted, Handler } from "./exchange.ts";
import { localPeer } from "./identity/identify.ts";
import type { Peer } from "./identity/peer.ts";
import { meshId } from "./identity/spiffe-id.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import { inbound } from "./inbound.ts";
import { defectLine } from "./rescue.ts";
import type { Events } from "./observe/events.ts";
import { randomIds } from "./observe/ids.ts";
import type { Log } from "./observe/log.ts";
import { outbound } from "./outbound.ts";
import { peerDials } from "./peer-dial.ts";
import { backendDefaults } from "./policy/backend-config.ts";
import { createBreaker } from "./policy/breaker.ts";
import { LimitState } from "./policy/limit.ts";
import { RetryBudget } from "./policy/retry-budget.ts";
import type { ConnectOptions, SocketTransport } from "./runtime/contract.ts";
import { sidecarName, type SidecarConfig } from "./sidecar-options.ts";
import { createTraffic, type Traffic, type TrafficOptions } from "./traffic.ts";
import { sendOverWire } from "./transport/wire-transport.ts";
import { wireDefaults } from "./wire/message.ts";
import { ConnectionPool } from "./wire/pool.ts";
import type { Dial } from "./wire/pool-options.ts";
import type { Sweeper } from "./wire/sweeper.ts";

export interface PathsDeps {
  readonly transport: SocketTransport;
  readonly events: Events;
  readonly log: Log;
  readonly sweeper: Sweeper;
  /** Null with `mtls: "off"`. */
  readonly workload: () => WorkloadCertificate | null;
  /** Where breaker votes go. */
  readonly votes: TrafficOptions["votes"];
  /** Instances that have lately called a service. */
  readonly callers: (service: ServiceKey) => number;
}

export interface Paths {
  readonly outbound: Handler<Accepted>;
  readonly inbound: Handler<Accepted>;
  readonly traffic: Traffic;
  /** The sidecar's own identity, as peers and logs see it. */
  self(): Peer;
  close(): void;
}

export function assemblePaths(config: SidecarConfig, deps: PathsDeps): Paths {
  const { clock, random, service, namespace } = config;
  const { transport, events, log, sweeper, workload } = deps;
  const traffic = createTraffic({
    clock,
    random,
    events,
    voter: config.instance,
    votes: deps.votes,
    callers: deps.callers,
  });
  const pool = new ConnectionPool({ transport, limits: wireDefaults, clock, sweeper });
  const self = selfOf(config, workload);
  const by = sidecarName(config);
  const ids = randomIds();
  const common = {
    ...traffic,
    ids,
    by,
    self,
    namespace,
    service,
    onDefect: (error: Parameters<typeof defectLine>[0]) =>
      log.error("a request failed unexpectedly", { error: defectLine(error) }),
  };
  return {
    traffic,
    self,
    outbound: outbound({ ...common, send: sendOverWire({ pool, clock, dial: peerDials(clock, workload) }) }),
    inbound: inbound({
      ...common,
      acceptsUnidentified: config.mtls !== "strict",
      application: applicationOf(config),
      send: sendOverWire({ pool, clock, dial: applicationDial(config) }),
    }),
    close: () => pool.close(),
  };
}

/** Recomputed when the certificate changes, not per request. */
function selfOf(config: SidecarConfig, workload: () => WorkloadCertificate | null): () => Peer {
  let made: Peer = localPeer(meshId(config.trustDomain, config.namespace, config.service));
  let generation = 0;
  return () => {
    const state = workload()?.current;
    if (state !== undefined && state.generation !== generation) {
      generation = state.generation;
      made = localPeer(state.spiffeId, state.certificateHash);
    }
    return made;
  };
}

function applicationOf(config: SidecarConfig): ServiceCluster {
  const { app } = config;
  const cluster = new ServiceCluster({
    key: serviceKey(config.namespace, config.service),
    config: backendDefaults,
    retryBudget: new RetryBudget(backendDefaults.retryBudget),
    limits: new LimitState(),
  });
  const place =
    "path" in app
      ? { address: `unix:${app.path}`, host: "localhost", port: 0 }
      : { address: `${app.host}:${app.port}`, ...app };
  cluster.endpoints = [
    new EndpointState({ ...place, instance: null, zone: null, weight: 1, identity: null }, createBreaker()),
  ];
  cluster.isKnown = true;
  return cluster;
}

function applicationDial({ app }: SidecarConfig): () => Dial {
  const connect: ConnectOptions = "path" in app ? { path: app.path } : { host: app.host, port: app.port };
  const dial: Dial = { key: "application", connect };
  return () => dial;
}
