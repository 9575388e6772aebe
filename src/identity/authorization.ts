/**
 * AuthorizationPolicy documents compiled to a decision, with Istio's meaning: DENY is asked first; where an ALLOW policy
 * applies, what none allows is denied; where none applies, every authenticated peer may.
 *
 * What cannot be decided counts against the request: such a DENY matches and such an ALLOW does not.
 *
 * @see https://istio.io/latest/docs/reference/config/security/authorization-policy/
 */
import type {
  AuthorizationPolicy,
  AuthorizationOperation,
  AuthorizationRule,
  AuthorizationSource,
} from "../control/resource-authorization.ts";
import type { RequestHead } from "../exchange.ts";
import { compilePatterns, compilePrincipals, type Patterns } from "./authorization-match.ts";
import { canonicalPaths, readsOneWay } from "./canonical-path.ts";
import type { Peer } from "./peer.ts";

export interface AuthorizationDecision {
  readonly allowed: boolean;
  /** `namespace/name` of the policy that decided; null if none did. For logs, not for callers. */
  readonly policy: string | null;
}

/** The rules of one service in one snapshot. */
export interface Authorization {
  /** `home` is the trust domain this side belongs to. Allocates nothing unless a rule looks at an unusual path. */
  decide(peer: Peer, head: RequestHead, home: string): AuthorizationDecision;
}

type Action = "ALLOW" | "DENY";
/** Whether a policy applies to a request. */
type Condition = (peer: Peer, head: RequestHead, home: string) => boolean;

interface CompiledPolicy {
  readonly matches: Condition;
  readonly decision: AuthorizationDecision;
}

const byDefault: AuthorizationDecision = Object.freeze({ allowed: true, policy: null });
const notAllowed: AuthorizationDecision = Object.freeze({ allowed: false, policy: null });

/** Policies in this namespace apply to every service of the mesh that they do not exclude (Istio's root namespace). */
export const rootNamespace = "fetchmesh-system";

/** No policy at all: the peers of the mesh trust each other. */
export const allowAuthenticated: Authorization = Object.freeze({ decide: () => byDefault });

/** Compiles the policies that apply to a service; call once per snapshot and service. */
export function compileAuthorization(
  policies: readonly AuthorizationPolicy[],
  namespace: string,
  service: string,
): Authorization {
  const deny: CompiledPolicy[] = [];
  const allow: CompiledPolicy[] = [];
  for (const policy of policies) {
    if (!appliesTo(policy, namespace, service)) continue;
    const name = `${policy.metadata.namespace}/${policy.metadata.name}`;
    const action = policy.spec.action ?? "ALLOW";
    if (action === "ALLOW") allow.push({ matches: anyRule(policy, action), decision: { allowed: true, policy: name } });
    else
      deny.push({
        matches: isAction(action) ? anyRule(policy, action) : () => true,
        decision: { allowed: false, policy: name },
      });
  }
  if (deny.length === 0 && allow.length === 0) return allowAuthenticated;
  return {
    decide(peer, head, home) {
      for (const policy of deny) if (policy.matches(peer, head, home)) return policy.decision;
      if (allow.length === 0) return byDefault;
      for (const policy of allow) if (policy.matches(peer, head, home)) return policy.decision;
      return notAllowed;
    },
  };
}

function isAction(action: string): action is Action {
  return action === "ALLOW" || action === "DENY";
}

function appliesTo(policy: AuthorizationPolicy, namespace: string, service: string): boolean {
  const { selector, targetRefs } = policy.spec;
  const isHere = policy.metadata.namespace === namespace;
  if (targetRefs !== undefined) return isHere && targetRefs.some((target) => target.name === service);
  if (!isHere && policy.metadata.namespace !== rootNamespace) return false;
  return selector === undefined || selector.matchLabels.app === service;
}

function anyRule(policy: AuthorizationPolicy, action: Action): Condition {
  return anyOf((policy.spec.rules ?? []).map((rule) => ruleCondition(rule, action)));
}

function anyOf(conditions: readonly Condition[]): Condition {
  return (peer, head, home) => {
    for (const condition of conditions) if (condition(peer, head, home)) return true;
    return false;
  };
}

function ruleCondition(rule: AuthorizationRule, action: Action): Condition {
  // A validated document has no such field. One that came another way has, and then the rule is not what its author meant.
  const isWhole = hasOnly(rule, ["from", "to"]);
  if (!isWhole && action === "ALLOW") return () => false;
  const from = rule.from && anyOf(rule.from.map(({ source }) => sourceCondition(source, action)));
  const to = rule.to && anyOf(rule.to.map(({ operation }) => operationCondition(operation, action)));
  return (peer, head, home) =>
    (from === undefined || from(peer, head, home)) && (to === undefined || to(peer, head, home));
}

function sourceCondition(source: AuthorizationSource, action: Action): Condition {
  if (!hasOnly(source, ["principals", "notPrincipals", "namespaces", "notNamespaces"])) return unreadable(action);
  const principals = source.principals && compilePrincipals(source.principals);
  const notPrincipals = source.notPrincipals && compilePrincipals(source.notPrincipals);
  const namespaces = source.namespaces && compilePatterns(source.namespaces);
  const notNamespaces = source.notNamespaces && compilePatterns(source.notNamespaces);
  return ({ id }, _, home) => {
    if (principals !== undefined && !principals.matches(id, home)) return false;
    // Who proved nothing is not thereby somebody else than those named: an ALLOW for "all but web" means known callers.
    const isNobody = id.text === "";
    if (notPrincipals !== undefined && (isNobody ? action === "ALLOW" : notPrincipals.matches(id, home))) return false;
    // A namespace is a namespace of our own trust domain; of a peer without one it cannot be said that it is in none of these.
    const namespace = id.trustDomain === home ? id.namespace : null;
    if (namespaces !== undefined && (namespace === null || !namespaces.matches(namespace))) return false;
    if (notNamespaces !== undefined && (namespace === null ? action === "ALLOW" : notNamespaces.matches(namespace)))
      return false;
    return true;
  };
}

function operationCondition(operation: AuthorizationOperation, action: Action): Condition {
  if (!hasOnly(operation, ["methods", "notMethods", "paths", "notPaths"])) return unreadable(action);
  // Many servers take "get" for GET and "/Admin" for /admin; a DENY has to hold for those as well.
  const fold = action === "DENY";
  const methods = operation.methods && compilePatterns(operation.methods, fold);
  const notMethods = operation.notMethods && compilePatterns(operation.notMethods);
  const paths = operation.paths && compilePatterns(operation.paths, fold);
  const notPaths = operation.notPaths && compilePatterns(operation.notPaths);
  const looksAtPath = paths !== undefined || notPaths !== undefined;
  return (_, head) => {
    if (methods !== undefined && !methods.matches(head.method)) return false;
    if (notMethods?.matches(head.method) === true) return false;
    return !looksAtPath || pathCondition(head.path, action, paths, notPaths);
  };
}

function pathCondition(
  path: string,
  action: Action,
  paths: Patterns | undefined,
  notPaths: Patterns | undefined,
): boolean {
  if (readsOneWay(path)) return readingFits(path, action, paths, notPaths);
  const readings = canonicalPaths(path);
  if (readings === null) return action === "DENY";
  return action === "ALLOW"
    ? readings.every((reading) => readingFits(reading, action, paths, notPaths))
    : readings.some((reading) => readingFits(reading, action, paths, notPaths));
}

function readingFits(
  path: string,
  action: Action,
  paths: Patterns | undefined,
  notPaths: Patterns | undefined,
): boolean {
  if (isIn(path, paths, notPaths)) return true;
  // Many servers ignore a trailing slash: "/admin/" is denied with "/admin", and "/admin" with "/admin/*".
  return action === "DENY" && isIn(path.endsWith("/") ? path.slice(0, -1) : `${path}/`, paths, notPaths);
}

function isIn(path: string, paths: Patterns | undefined, notPaths: Patterns | undefined): boolean {
  return (paths === undefined || paths.matches(path)) && notPaths?.matches(path) !== true;
}

function unreadable(action: Action): Condition {
  return () => action === "DENY";
}

function hasOnly(object: object, names: readonly string[]): boolean {
  return Object.keys(object).every((name) => names.includes(name));
}
