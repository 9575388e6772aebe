/** validate → compile → swap: makes from an envelope what requests look things up in. All cost is here, none per request. */
import { allowAuthenticated, compileAuthorization, type Authorization } from "../identity/authorization.ts";
import type { EndpointRecord } from "../balance/endpoint.ts";
import {
  backendDefaults,
  resolveBackend,
  resolveRetry,
  resolveTimeouts,
  type BackendConfig,
} from "../policy/backend-config.ts";
import { compileRoutes, type RouteTable } from "../route/table.ts";
import { splitAddress } from "./address.ts";
import type { Envelope } from "./envelope.ts";
import type { AuthorizationPolicy, BackendPolicy, HttpRoute, ServiceResource } from "./resources.ts";
import { serviceKey, type ServiceConfig, type ServiceKey, type Snapshot } from "./snapshot.ts";

/** What a member of the mesh knows before anything was published: everybody passes straight through, peers trust each other. */
export function emptySnapshot(epoch = ""): Snapshot {
  return compileSnapshot({ mesh: "", epoch, version: 0, digest: "", documents: [] });
}

/** Immutable, and independent of every earlier version. */
export function compileSnapshot(envelope: Envelope): Snapshot {
  const { epoch, version, digest, documents } = envelope;
  const ofKind = <K extends (typeof documents)[number]["kind"]>(kind: K) =>
    documents.filter(
      (document): document is Extract<(typeof documents)[number], { kind: K }> => document.kind === kind,
    );
  const services = new Map(
    ofKind("Service").map((document) => [
      serviceKey(document.metadata.namespace, document.metadata.name),
      compileService(document),
    ]),
  );
  const backends = compileBackends(ofKind("BackendPolicy"));
  const backend = (service: ServiceKey): BackendConfig => backends.get(service) ?? backendDefaults;
  const routes = compileParents(ofKind("HTTPRoute"), backend);
  return Object.freeze({
    epoch,
    version,
    digest,
    documents,
    services,
    routes: (service, callerNamespace) =>
      routes.get(service)?.consumers.get(callerNamespace) ?? routes.get(service)?.producer ?? null,
    backend,
    authorization: authorizations(ofKind("AuthorizationPolicy")),
  } satisfies Snapshot);
}

function compileService({ metadata, spec }: ServiceResource): ServiceConfig {
  const endpoints: EndpointRecord[] = [];
  for (const { address, weight = 1, zone = null, identity = null } of spec.endpoints ?? []) {
    const target = splitAddress(address);
    if (target !== null) endpoints.push(Object.freeze({ address, ...target, instance: null, zone, weight, identity }));
  }
  return Object.freeze({
    key: serviceKey(metadata.namespace, metadata.name),
    name: metadata.name,
    namespace: metadata.namespace,
    ports: (spec.ports ?? []).map(({ name = null, port, appProtocol = null }) => ({ name, port, appProtocol })),
    endpoints,
  });
}

/** One policy per service: if two reached us past validation, the older one holds (Gateway API, GEP-713). */
function compileBackends(policies: readonly BackendPolicy[]): Map<ServiceKey, BackendConfig> {
  const backends = new Map<ServiceKey, BackendConfig>();
  for (const policy of [...policies].sort(byAge)) {
    const config = resolveBackend(policy);
    for (const { name } of policy.spec.targetRefs) {
      const key = serviceKey(policy.metadata.namespace, name);
      if (!backends.has(key)) backends.set(key, config);
    }
  }
  return backends;
}

const byAge = (a: BackendPolicy, b: BackendPolicy): number => {
  const [first, second] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
  return first < second ? -1 : first > second ? 1 : 0;
};

interface ParentRoutes {
  readonly producer: RouteTable | null;
  /** By the namespace of the caller. */
  readonly consumers: ReadonlyMap<string, RouteTable>;
}

/** A service that routes name as their parent; the routes by their own namespace, each once. */
interface Parent {
  readonly name: string;
  readonly namespace: string;
  readonly byNamespace: Map<string, Set<HttpRoute>>;
}

function compileParents(
  routes: readonly HttpRoute[],
  backend: (service: ServiceKey) => BackendConfig,
): Map<ServiceKey, ParentRoutes> {
  const byParent = new Map<ServiceKey, Parent>();
  for (const route of routes) {
    for (const parent of route.spec.parentRefs) {
      const namespace = parent.namespace ?? route.metadata.namespace;
      const key = serviceKey(namespace, parent.name);
      const known = byParent.get(key) ?? { name: parent.name, namespace, byNamespace: new Map() };
      const theirs = known.byNamespace.get(route.metadata.namespace) ?? new Set();
      known.byNamespace.set(route.metadata.namespace, theirs.add(route));
      byParent.set(key, known);
    }
  }
  const compiled = new Map<ServiceKey, ParentRoutes>();
  for (const [key, { name, namespace, byNamespace }] of byParent) {
    const parent = { name, namespace, backend, resolveRetry, resolveTimeouts };
    const own = byNamespace.get(namespace);
    const producer = own === undefined ? null : compileRoutes([...own], parent);
    byNamespace.delete(namespace);
    const consumers = new Map<string, RouteTable>();
    for (const [caller, theirs] of byNamespace)
      consumers.set(caller, inFront(compileRoutes([...theirs], parent), producer));
    compiled.set(key, { producer, consumers });
  }
  return compiled;
}

/** A consumer's routes replace the producer's, on the ports they name. */
function inFront(consumer: RouteTable, producer: RouteTable | null): RouteTable {
  if (producer === null) return consumer;
  return {
    covers: (port) => consumer.covers(port) || producer.covers(port),
    match: (head, port) => (consumer.covers(port) ? consumer.match(head, port) : producer.match(head, port)),
  };
}

/** Compiled at the first question and kept: a sidecar asks for its own service only, and asks for every request. */
function authorizations(policies: readonly AuthorizationPolicy[]): Snapshot["authorization"] {
  if (policies.length === 0) return () => allowAuthenticated;
  const known = new Map<string, Map<string, Authorization>>();
  return (namespace, service) => {
    let inNamespace = known.get(namespace);
    if (inNamespace === undefined) known.set(namespace, (inNamespace = new Map()));
    let authorization = inNamespace.get(service);
    if (authorization === undefined)
      inNamespace.set(service, (authorization = compileAuthorization(policies, namespace, service)));
    return authorization;
  };
}
