/** Makes rules: from an HTTPRoute, or the one that applies where no route is attached. */
import type { HttpBackendRef, HttpRoute, HttpRouteRule } from "../control/resources.ts";
import type { ServiceKey } from "../control/snapshot.ts";
import type { BackendConfig } from "../policy/backend-config.ts";
import { compileHeaderFilter } from "./filters.ts";
import type { Backend, RetryConfig, RouteDecision, RouteRule, TimeoutConfig } from "./route.ts";

/** The service routes are attached to, and what they inherit from its policy and those of their backends. */
export interface RouteParent {
  readonly name: string;
  readonly namespace: string;
  /** Resolved policy of any service of the same config version. */
  backend(service: ServiceKey): BackendConfig;
  /** Policy resolution is injected: stations know each other by type only. */
  resolveRetry(spec: HttpRouteRule["retry"], inherited: RetryConfig): RetryConfig;
  resolveTimeouts(spec: HttpRouteRule["timeouts"], inherited: TimeoutConfig): TimeoutConfig;
}

export function compileRule(route: HttpRoute, rule: HttpRouteRule, parent: RouteParent): RouteRule {
  const inherited = parent.backend(`${parent.namespace}/${parent.name}`);
  return makeRule({
    name: `${route.metadata.namespace}/${route.metadata.name}`,
    backends: (rule.backendRefs ?? []).map((ref) => compileBackend(ref, route.metadata.namespace, parent)),
    requestFilter: compileHeaderFilter(rule.filters, "RequestHeaderModifier"),
    responseFilter: compileHeaderFilter(rule.filters, "ResponseHeaderModifier"),
    timeouts: parent.resolveTimeouts(rule.timeouts, inherited.timeouts),
    retry: parent.resolveRetry(rule.retry, inherited.retry),
  });
}

/** Straight through to the service itself: what a service without routes does. */
export function defaultRule(service: ServiceKey, config: BackendConfig): RouteRule {
  return makeRule({
    name: "default",
    backends: [{ service, weight: 1, requestFilter: null, responseFilter: null, config }],
    requestFilter: null,
    responseFilter: null,
    timeouts: config.timeouts,
    retry: config.retry,
  });
}

export function makeRule(parts: Omit<RouteRule, "decisions">): RouteRule {
  const decisions: RouteDecision[] = [];
  const rule: RouteRule = { ...parts, decisions };
  for (const backend of rule.backends) decisions.push(Object.freeze({ rule, backend }));
  return Object.freeze(rule);
}

function compileBackend(ref: HttpBackendRef, routeNamespace: string, parent: RouteParent): Backend {
  const namespace = ref.namespace ?? routeNamespace;
  const service = `${namespace}/${ref.name}`;
  // Validation lets only Services through; a document that came another way loses its share, not its neighbours'.
  const isService =
    (ref.kind ?? "Service") === "Service" && (ref.group === undefined || ref.group === "" || ref.group === "core");
  return Object.freeze({
    service: isService ? service : null,
    weight: ref.weight ?? 1,
    requestFilter: compileHeaderFilter(ref.filters, "RequestHeaderModifier"),
    responseFilter: compileHeaderFilter(ref.filters, "ResponseHeaderModifier"),
    config: parent.backend(service),
  });
}
