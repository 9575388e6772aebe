/** Route tables from short notation, and the slow matcher that the fast one must agree with. */
import type { HttpRoute, HttpRouteMatch } from "../../src/control/resources.ts";
import type { RequestHead } from "../../src/exchange.ts";
import { PlatformHead } from "../../src/listener/platform-head.ts";
import { backendDefaults, resolveRetry, resolveTimeouts } from "../../src/policy/backend-config.ts";
import type { RouteRule } from "../../src/route/route.ts";
import type { RouteParent } from "../../src/route/rule.ts";
import { compileRoutes, type RouteTable } from "../../src/route/table.ts";

export const parent: RouteParent = {
  name: "echo",
  namespace: "mesh",
  backend: () => backendDefaults,
  resolveRetry,
  resolveTimeouts,
};

export interface RouteOptions {
  readonly name?: string;
  readonly namespace?: string;
  readonly createdAt?: string;
  readonly port?: number;
}

/** One rule per pair of matches and backend. */
export function routeOf(
  rules: readonly (readonly [readonly HttpRouteMatch[], string])[],
  options: RouteOptions = {},
): HttpRoute {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: {
      name: options.name ?? "route",
      namespace: options.namespace ?? "mesh",
      ...(options.createdAt === undefined ? {} : { creationTimestamp: options.createdAt }),
    },
    spec: {
      parentRefs: [
        {
          kind: "Service",
          name: "echo",
          namespace: "mesh",
          ...(options.port === undefined ? {} : { port: options.port }),
        },
      ],
      rules: rules.map(([matches, backend]) => ({ matches: [...matches], backendRefs: [{ name: backend }] })),
    },
  };
}

export function tableOf(...routes: readonly HttpRoute[]): RouteTable {
  return compileRoutes(routes, parent);
}

export function headOf(method: string, target: string, headers: Readonly<Record<string, string>> = {}): RequestHead {
  return new PlatformHead(new Request(`http://echo${target}`, { method, headers }));
}

/** The backend a request goes to, or 404. */
export function answeredBy(
  table: RouteTable,
  method: string,
  target: string,
  headers: Readonly<Record<string, string>> = {},
  port = 80,
): string {
  return backendOf(table.match(headOf(method, target, headers), port));
}

export function backendOf(rule: RouteRule | null): string {
  if (rule === null) return "404";
  const service = rule.backends[0]?.service;
  return service === undefined || service === null ? "500" : service.slice(service.indexOf("/") + 1);
}

interface Ranked {
  readonly match: HttpRouteMatch;
  readonly backend: string;
  readonly key: readonly (number | string)[];
}

/** Gateway API's precedence, word for word: rank every match of every rule, take the first that holds. */
export function naiveMatch(routes: readonly HttpRoute[], head: RequestHead): string {
  const ranked: Ranked[] = [];
  for (const route of routes) {
    for (const rule of route.spec.rules ?? []) {
      for (const match of rule.matches?.length ? rule.matches : [{}])
        ranked.push({ match, backend: rule.backendRefs![0]!.name, key: keyOf(route, match) });
    }
  }
  ranked.sort((a, b) => compareKeys(a.key, b.key));
  return ranked.find(({ match }) => holds(match, head))?.backend ?? "404";
}

function keyOf(route: HttpRoute, match: HttpRouteMatch): readonly (number | string)[] {
  const path = match.path?.value ?? "/";
  const isExact = match.path?.type === "Exact";
  const { metadata } = route;
  return [
    isExact ? 0 : 1,
    -(isExact ? path : path.replace(/\/+$/, "")).length,
    match.method === undefined ? 1 : 0,
    -new Set((match.headers ?? []).map(({ name }) => name.toLowerCase())).size,
    -new Set((match.queryParams ?? []).map(({ name }) => name)).size,
    metadata.creationTimestamp ?? "",
    `${metadata.namespace}/${metadata.name}`,
  ];
}

function compareKeys(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (let i = 0; i < a.length; i++) {
    if (a[i]! < b[i]!) return -1;
    if (a[i]! > b[i]!) return 1;
  }
  return 0;
}

function holds(match: HttpRouteMatch, head: RequestHead): boolean {
  const value = match.path?.value ?? "/";
  const prefix = value.replace(/\/+$/, "");
  const isPath =
    match.path?.type === "Exact" ? head.path === value : head.path === prefix || head.path.startsWith(`${prefix}/`);
  if (!isPath || (match.method !== undefined && match.method !== head.method)) return false;
  const headers = new Map([...(match.headers ?? [])].reverse().map((each) => [each.name.toLowerCase(), each.value]));
  for (const [name, wanted] of headers) if (head.get(name) !== wanted) return false;
  const query = new Map([...(match.queryParams ?? [])].reverse().map((each) => [each.name, each.value]));
  for (const [name, wanted] of query) if (new URLSearchParams(head.query).get(name) !== wanted) return false;
  return true;
}
