/** What no single document can show: references, conflicts and sums over the whole set. */
import { durationMs } from "./duration.ts";
import { placed, type Issue, type Locate, type PathStep, type Problem, type ProblemCode } from "./problems.ts";
import type { BackendPolicy, AuthorizationPolicy, HttpRoute, Resource, ServiceResource } from "./resources.ts";
import { resourceKey } from "./resource-key.ts";
import { serviceKey, type ServiceKey } from "./snapshot.ts";
import { closest } from "./suggest.ts";

/** What is known besides the documents themselves. */
export interface ValidationContext {
  /** Services of which an instance has registered. */
  readonly knownServices: ReadonlySet<ServiceKey>;
  /** Where a document was written; absent for one that was published earlier. */
  readonly locate: (resource: Resource) => Locate | undefined;
}

const nowhere: Locate = () => ({ file: "published", line: 0, column: 0 });

/** Every problem of the set as it would be published. */
export function validateDocuments(documents: readonly Resource[], context: ValidationContext): Problem[] {
  const services = new Map<ServiceKey, ServiceResource | null>();
  for (const key of context.knownServices) services.set(key, null);
  for (const document of documents) {
    if (document.kind === "Service")
      services.set(serviceKey(document.metadata.namespace, document.metadata.name), document);
  }
  const problems: Problem[] = [];
  const targets = new Map<ServiceKey, Resource>();
  for (const document of documents) {
    const locate = context.locate(document) ?? nowhere;
    const say = (
      code: ProblemCode,
      path: readonly PathStep[],
      message: string,
      suggestion: string | null = null,
    ): void => {
      const issue: Issue = { code, path, message: `${resourceKey(document)}: ${message}`, suggestion };
      problems.push(placed(issue, locate));
    };
    switch (document.kind) {
      case "Service":
        validateService(document, context.knownServices, say);
        break;
      case "HTTPRoute":
        validateRoute(document, services, say);
        break;
      case "BackendPolicy":
        validateBackendPolicy(document, services, targets, say);
        break;
      case "AuthorizationPolicy":
        validateAuthorization(document, services, say);
        break;
    }
  }
  return problems;
}

type Say = (code: ProblemCode, path: readonly PathStep[], message: string, suggestion?: string | null) => void;
type Services = ReadonlyMap<ServiceKey, ServiceResource | null>;

function validateService({ metadata, spec }: ServiceResource, registered: ReadonlySet<ServiceKey>, say: Say): void {
  const ports = new Set<number>();
  for (const [index, { port }] of (spec.ports ?? []).entries()) {
    if (ports.has(port)) say("FM0205", ["spec", "ports", index, "port"], `port ${port} is listed twice`);
    ports.add(port);
  }
  const addresses = new Set<string>();
  for (const [index, { address }] of (spec.endpoints ?? []).entries()) {
    if (addresses.has(address))
      say("FM0205", ["spec", "endpoints", index, "address"], `endpoint ${address} is listed twice`);
    addresses.add(address);
  }
  const endpoints = spec.endpoints ?? [];
  const isProven =
    registered.has(serviceKey(metadata.namespace, metadata.name)) ||
    endpoints.some(({ identity }) => identity !== undefined);
  for (const [index, { address, identity }] of endpoints.entries()) {
    if (!isProven || identity !== undefined) continue;
    const message = `calls to ${address} go in the clear, while other endpoints of this service prove who they are`;
    say(
      "FM0305",
      ["spec", "endpoints", index],
      message,
      `identity: spiffe://TRUST-DOMAIN/ns/${metadata.namespace}/sa/${metadata.name}, or a service of its own`,
    );
  }
}

function validateRoute({ metadata, spec }: HttpRoute, services: Services, say: Say): void {
  const parents = new Set<string>();
  for (const [index, parent] of spec.parentRefs.entries()) {
    const path = ["spec", "parentRefs", index];
    const key = serviceKey(parent.namespace ?? metadata.namespace, parent.name);
    const identity = `${key}:${parent.port ?? ""}`;
    if (parents.has(identity)) say("FM0206", [...path, "name"], `parent ${key} is named twice`, "keep one of them");
    parents.add(identity);
    refer("FM0203", "parent", key, parent.port, services, path, say);
  }
  if (spec.hostnames !== undefined && spec.hostnames.length > 0) {
    say(
      "FM0301",
      ["spec", "hostnames"],
      "hostnames are not looked at when the parent is a Service: its name is the host",
      "remove them",
    );
  }
  if (spec.rules === undefined || spec.rules.length === 0)
    say("FM0302", ["spec"], "a route without rules answers 500 to everything");
  for (const [index, rule] of (spec.rules ?? []).entries()) {
    const path: PathStep[] = ["spec", "rules", index];
    const backends = rule.backendRefs ?? [];
    if (backends.length === 0) say("FM0302", path, "a rule without backendRefs answers 500", "add backendRefs");
    else if (backends.every(({ weight }) => weight === 0)) {
      say(
        "FM0204",
        [...path, "backendRefs"],
        "the weights of backendRefs sum to 0: nothing could answer",
        "give one a weight above 0",
      );
    }
    for (const [at, backend] of backends.entries()) {
      refer(
        "FM0202",
        "backend",
        serviceKey(backend.namespace ?? metadata.namespace, backend.name),
        backend.port,
        services,
        [...path, "backendRefs", at],
        say,
      );
    }
    checkTimeouts(rule.timeouts, [...path, "timeouts"], say);
    if (rule.retry?.attempts === 0 && (rule.retry.codes?.length ?? 0) > 0) {
      say("FM0301", [...path, "retry", "codes"], "codes have no effect with attempts: 0");
    }
  }
}

function validateBackendPolicy(
  policy: BackendPolicy,
  services: Services,
  targets: Map<ServiceKey, Resource>,
  say: Say,
): void {
  const { metadata, spec } = policy;
  for (const [index, target] of spec.targetRefs.entries()) {
    const path = ["spec", "targetRefs", index, "name"];
    const key = serviceKey(metadata.namespace, target.name);
    const other = targets.get(key);
    if (other !== undefined)
      say("FM0207", path, `${key} already has ${other === policy ? "this policy" : resourceKey(other)}`, "merge them");
    targets.set(key, policy);
    checkTarget(key, services, path, say);
  }
  checkTimeouts(spec.timeouts, ["spec", "timeouts"], say);
  const { openFor, maxOpenFor } = spec.breaker ?? {};
  if (openFor !== undefined && maxOpenFor !== undefined && durationMs(maxOpenFor) < durationMs(openFor)) {
    say("FM0205", ["spec", "breaker", "maxOpenFor"], `maxOpenFor ${maxOpenFor} is shorter than openFor ${openFor}`);
  }
}

function validateAuthorization({ metadata, spec }: AuthorizationPolicy, services: Services, say: Say): void {
  const app = spec.selector?.matchLabels.app;
  if (app !== undefined && spec.targetRefs !== undefined) {
    say("FM0205", ["spec", "selector"], "selector and targetRefs exclude each other", "keep one of them");
  }
  // Policies of the root namespace select services of every namespace.
  if (app !== undefined && metadata.namespace !== "fetchmesh-system")
    checkTarget(serviceKey(metadata.namespace, app), services, ["spec", "selector", "matchLabels", "app"], say);
  for (const [index, { name }] of (spec.targetRefs ?? []).entries()) {
    checkTarget(serviceKey(metadata.namespace, name), services, ["spec", "targetRefs", index, "name"], say);
  }
  if (spec.rules === undefined || spec.rules.length === 0) {
    if (spec.action === "DENY")
      say("FM0304", ["spec", "action"], "a DENY without rules denies nothing", "rules: [{}] denies everything");
  }
}

function checkTimeouts(
  timeouts: { request?: string | undefined; backendRequest?: string | undefined } | undefined,
  path: PathStep[],
  say: Say,
): void {
  if (timeouts?.request === undefined || timeouts.backendRequest === undefined) return;
  const requestMs = durationMs(timeouts.request);
  // 0 is "no limit" (Gateway API): nothing exceeds it.
  if (requestMs > 0 && durationMs(timeouts.backendRequest) > requestMs) {
    const message = `backendRequest ${timeouts.backendRequest} is longer than request ${timeouts.request}, which covers all attempts`;
    say("FM0205", [...path, "backendRequest"], message, `at most ${timeouts.request}`);
  }
}

function refer(
  code: "FM0202" | "FM0203",
  role: string,
  key: ServiceKey,
  port: number | undefined,
  services: Services,
  path: readonly PathStep[],
  say: Say,
): void {
  const service = services.get(key);
  if (service === undefined)
    say(code, [...path, "name"], `${role} service ${key} does not exist`, advice(key, services));
  const ports = service?.spec.ports ?? [];
  if (port !== undefined && ports.length > 0 && !ports.some((known) => known.port === port)) {
    say(
      "FM0208",
      [...path, "port"],
      `service ${key} has no port ${port}`,
      `one of ${ports.map((known) => known.port).join(", ")}`,
    );
  }
}

/** A policy may come before its service (deny first, then start it), so this one only warns. */
function checkTarget(key: ServiceKey, services: Services, path: readonly PathStep[], say: Say): void {
  if (!services.has(key)) say("FM0303", path, `service ${key} does not exist (yet)`, advice(key, services));
}

function advice(key: ServiceKey, services: Services): string {
  const near = closest(key, services.keys());
  return near === null ? "start an instance of it, or add a Service document" : `did you mean ${near}?`;
}
