/** 3 where: from the authority to the service, from the head to the rule, from the rule to one backend. */
import type { Cluster } from "../balance/cluster.ts";
import type { ServiceKey, Snapshot } from "../control/snapshot.ts";
import { closest } from "../control/suggest.ts";
import { MeshError } from "../errors.ts";
import type { Exchange, Identified, Layer, Routed } from "../exchange.ts";
import type { BackendConfig } from "../policy/backend-config.ts";
import type { Random } from "../random.ts";
import { ServiceNames, servicePort, type ServiceName } from "./names.ts";
import type { RouteDecision } from "./route.ts";
import { defaultRule } from "./rule.ts";
import { split } from "./split.ts";

export interface RouteDeps {
  readonly directory: {
    find(service: ServiceKey): Cluster | undefined;
    ensure(service: ServiceKey, config: BackendConfig): Cluster;
    clusters(): Iterable<Cluster>;
  };
  /** Of the caller: completes short names and decides which consumer routes apply. */
  readonly namespace: string;
  readonly random: Random;
}

/**
 * Adds `cluster` and `route` to the exchange. Everything is read from the exchange's own config version.
 *
 * @throws {MeshError} ERR_SERVICE_UNKNOWN, ERR_ROUTE_NOT_FOUND (both 404, `NR`), ERR_BACKEND_INVALID (500, `NC`)
 */
export function route(deps: RouteDeps): Layer<Identified, Routed> {
  const { directory, namespace, random } = deps;
  const names = new ServiceNames(namespace);
  /** Straight-through decisions, by the config they were made from: one look-up, no allocation per request. */
  const straight = new WeakMap<Cluster, { readonly config: BackendConfig; readonly decision: RouteDecision }>();

  const clusterOf = (key: ServiceKey, snapshot: Snapshot): Cluster | null => {
    const cluster = directory.find(key);
    if (cluster !== undefined && cluster.isKnown) return cluster;
    return snapshot.services.has(key) ? directory.ensure(key, snapshot.backend(key)) : null;
  };

  const passThrough = (cluster: Cluster, config: BackendConfig): RouteDecision => {
    const known = straight.get(cluster);
    if (known !== undefined && known.config === config) return known.decision;
    const decision = defaultRule(cluster.key, config).decisions[0]!;
    straight.set(cluster, { config, decision });
    return decision;
  };

  const find = (x: Exchange): void => {
    const { snapshot } = x;
    const authority = x.connection.upstream ?? x.head.authority;
    const name = names.of(authority);
    const called = name === null ? null : clusterOf(name.key, snapshot);
    if (name === null || called === null) throw unknownService(authority, name, [...directory.clusters()]);
    const service = snapshot.services.get(name.key);
    const port = servicePort(service, name.port);
    if (port === null) throw unknownPort(name, service?.ports.map((each) => each.port) ?? []);

    const table = snapshot.routes(name.key, namespace);
    if (table === null || !table.covers(port)) {
      x.cluster = called;
      x.route = passThrough(called, snapshot.backend(name.key));
      return;
    }
    const rule = table.match(x.head, port);
    if (rule === null) throw noRule(x, name);
    const decision = split(rule, random);
    if (decision === null) throw noBackend(rule.name, "it has no backend with a weight above 0");
    const backend = decision.backend.service;
    const cluster = backend === null ? null : clusterOf(backend, snapshot);
    if (cluster === null)
      throw noBackend(
        rule.name,
        backend === null ? "the backend chosen is not a Service" : `nothing is called ${backend}`,
      );
    x.cluster = cluster;
    x.route = decision;
  };

  return (next) => (x) => {
    try {
      find(x);
    } catch (reason) {
      return Promise.reject(MeshError.from(reason));
    }
    return next(x as Routed);
  };
}

function unknownService(authority: string, name: ServiceName | null, known: readonly Cluster[]): MeshError {
  if (name === null) {
    return new MeshError("ERR_SERVICE_UNKNOWN", `"${authority}" is not the name of a service of this mesh`, {
      advice: `A service is called NAME or NAME.NAMESPACE. To allow "${authority}", apply a Service document whose endpoints list its address, and call it by the name of that document; to go there without the mesh, put the host in NO_PROXY`,
    });
  }
  const namesake = closest(
    name.name,
    known.filter(({ namespace }) => namespace === name.namespace).map(({ service }) => service),
  );
  const guess = namesake === null || namesake === name.name ? "" : `Did you mean "${namesake}"? `;
  // "example.com" reads as a service of namespace "com", which nobody who writes it means.
  const mayBeHost = authority.includes(".") && !known.some(({ namespace }) => namespace === name.namespace);
  const outside = mayBeHost
    ? `. If it is a host outside the mesh, list its address in the endpoints of a Service document, or put it in NO_PROXY`
    : "";
  const inNamespace = name.namespace === "default" ? "" : ` --namespace ${name.namespace}`;
  return new MeshError(
    "ERR_SERVICE_UNKNOWN",
    `No service is called "${name.name}" in namespace "${name.namespace}" (asked for as "${authority}")`,
    {
      advice: `${guess}To allow "${authority}", apply a Service document named ${name.name} in namespace ${name.namespace}, or start a sidecar with --service ${name.name}${inNamespace}${outside}`,
    },
  );
}

function unknownPort(name: ServiceName, ports: readonly number[]): MeshError {
  return new MeshError("ERR_SERVICE_UNKNOWN", `The Service document of ${name.name} names no port ${name.port}`, {
    advice: `Call it by port ${ports.join(" or ")}, or add port ${name.port} to spec.ports of that document`,
  });
}

function noRule(x: Exchange, name: ServiceName): MeshError {
  return new MeshError(
    "ERR_ROUTE_NOT_FOUND",
    `Routes are attached to ${name.name}, and none of their rules matches ${x.head.method} ${x.head.path}`,
    {
      advice: `Add a rule to an HTTPRoute of ${name.name}; one without matches takes everything that is left`,
    },
  );
}

function noBackend(route: string, why: string): MeshError {
  return new MeshError("ERR_BACKEND_INVALID", `The rule of ${route} that matches cannot be served: ${why}`, {
    advice: `Correct the backendRefs of HTTPRoute ${route}`,
  });
}
