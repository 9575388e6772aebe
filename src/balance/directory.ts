/** The services this process knows, from the config and from the registry, and how to reach them. */
import type { Clock } from "../clock.ts";
import type { ServiceKey, Snapshot } from "../control/snapshot.ts";
import type { InstanceRecord } from "../control/store.ts";
import type { Events } from "../observe/events.ts";
import type { BackendConfig } from "../policy/backend-config.ts";
import type { BreakerState } from "../policy/breaker.ts";
import type { LimitState } from "../policy/limit.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import { ServiceCluster, type Cluster } from "./cluster.ts";
import { EndpointState, type EndpointRecord } from "./endpoint.ts";
import { instanceEndpoint } from "./instance-endpoint.ts";

/** Makes the parts of a cluster that belong to policy; injected, because stations know each other by type only. */
export interface ClusterParts {
  retryBudget(config: BackendConfig): RetryBudget;
  limits(): LimitState;
  breaker(): BreakerState;
}

export interface DirectoryDeps {
  readonly clock: Clock;
  readonly events: Events;
  readonly parts: ClusterParts;
}

/**
 * A service that lost its last endpoint stays known for this long, so that its callers hear "no endpoint" during a restart and
 * not "no such service".
 */
const forgetAfterMs = 600_000;

export class Directory {
  readonly #deps: DirectoryDeps;
  readonly #clusters = new Map<ServiceKey, ServiceCluster>();
  /** When a cluster that nothing names any more was last named. */
  readonly #unnamedSinceMs = new Map<ServiceKey, number>();

  constructor(deps: DirectoryDeps) {
    this.#deps = deps;
  }

  /** The cluster of a service, if anything has ever named it. */
  find(service: ServiceKey): Cluster | undefined {
    return this.#clusters.get(service);
  }

  /** The same, made if there is none: for a service that the request's own config version names. */
  ensure(service: ServiceKey, config: BackendConfig): Cluster {
    return this.#ensure(service, config);
  }

  clusters(): IterableIterator<Cluster> {
    return this.#clusters.values();
  }

  /**
   * Merges what documents list and what the registry knows. State of an endpoint survives as long as address and identity
   * stay; endpoints no longer listed get no new requests and finish those they have.
   */
  update(snapshot: Snapshot, instances: readonly InstanceRecord[]): void {
    const records = new Map<ServiceKey, Map<string, EndpointRecord>>();
    const add = (service: ServiceKey, record: EndpointRecord): void => {
      let ofService = records.get(service);
      if (ofService === undefined) records.set(service, (ofService = new Map()));
      ofService.set(endpointKey(record), record);
    };
    // The registry last: what an instance says of itself is newer than what a document says of it.
    for (const service of snapshot.services.values()) {
      for (const record of service.endpoints) add(service.key, record);
    }
    for (const instance of instances) {
      const record = instanceEndpoint(instance);
      if (record !== null) add(`${instance.namespace}/${instance.service}`, record);
    }

    for (const key of snapshot.services.keys()) this.#ensure(key, snapshot.backend(key));
    for (const key of records.keys()) this.#ensure(key, snapshot.backend(key));
    for (const cluster of this.#clusters.values()) {
      const ofService = records.get(cluster.key);
      this.#configure(cluster, snapshot.backend(cluster.key));
      this.#replaceEndpoints(cluster, ofService);
      this.#markKnown(cluster, ofService !== undefined || snapshot.services.has(cluster.key));
    }
  }

  #ensure(key: ServiceKey, config: BackendConfig): ServiceCluster {
    let cluster = this.#clusters.get(key);
    if (cluster === undefined) {
      const { parts } = this.#deps;
      cluster = new ServiceCluster({ key, config, retryBudget: parts.retryBudget(config), limits: parts.limits() });
      this.#clusters.set(key, cluster);
    }
    return cluster;
  }

  #configure(cluster: ServiceCluster, config: BackendConfig): void {
    if (cluster.config === config) return;
    cluster.config = config;
    cluster.retryBudget.configure(config.retryBudget);
    cluster.refresh();
  }

  #replaceEndpoints(cluster: ServiceCluster, records: ReadonlyMap<string, EndpointRecord> | undefined): void {
    const before = new Map(cluster.endpoints.map((endpoint) => [endpointKey(endpoint.record), endpoint]));
    let isChanged = before.size !== (records?.size ?? 0);
    const endpoints: EndpointState[] = [];
    for (const [key, record] of records ?? []) {
      let endpoint = before.get(key);
      before.delete(key);
      if (endpoint === undefined) {
        endpoint = new EndpointState(record, this.#deps.parts.breaker());
        isChanged = true;
      } else if (!isSame(endpoint.record, record)) {
        endpoint.record = record;
        isChanged = true;
      }
      endpoints.push(endpoint);
    }
    if (!isChanged) return;
    for (const gone of before.values()) gone.isListed = false;
    cluster.endpoints = endpoints;
    cluster.refresh();
    this.#deps.events.endpointsChanged?.(cluster);
  }

  #markKnown(cluster: ServiceCluster, isNamed: boolean): void {
    if (isNamed) {
      cluster.isKnown = true;
      this.#unnamedSinceMs.delete(cluster.key);
      return;
    }
    const nowMs = this.#deps.clock.nowMs();
    const sinceMs = this.#unnamedSinceMs.get(cluster.key);
    if (sinceMs === undefined) this.#unnamedSinceMs.set(cluster.key, nowMs);
    else if (nowMs - sinceMs >= forgetAfterMs && cluster.limits.requests === 0) {
      cluster.isKnown = false;
      this.#clusters.delete(cluster.key);
      this.#unnamedSinceMs.delete(cluster.key);
    }
  }
}

/** Another identity at the same address is another endpoint: what was learnt of the old one does not hold for it. */
function endpointKey(record: EndpointRecord): string {
  return `${record.address} ${record.identity ?? ""}`;
}

function isSame(a: EndpointRecord, b: EndpointRecord): boolean {
  return a === b || (a.weight === b.weight && a.zone === b.zone && a.instance === b.instance);
}
