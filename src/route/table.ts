/**
 * All rules of all routes of one service, compiled so that a match costs the same whether there are ten or ten thousand:
 * a hash for exact paths, a tree of path elements for prefixes, an index below each.
 */
import type { HttpRoute, HttpRouteMatch } from "../control/resources.ts";
import type { RequestHead } from "../exchange.ts";
import { Candidates, type Candidate } from "./candidates.ts";
import { compileCondition, type Condition } from "./match.ts";
import type { RouteRule } from "./route.ts";
import { compileRule, type RouteParent } from "./rule.ts";

export interface RouteTable {
  /** False: no route is attached to that port of the service, which therefore passes everything straight through. */
  covers(port: number): boolean;
  /** The rule for a request to that port; `null`: routes are attached and none matches (404). */
  match(head: RequestHead, port: number): RouteRule | null;
}

/** A match of a rule before it is ranked. */
interface Entry {
  readonly isExact: boolean;
  /** Without the trailing slash; "" is every path. */
  readonly path: string;
  readonly condition: Condition;
  readonly rule: RouteRule;
  /** `null`: every port of the parent. */
  readonly port: number | null;
  readonly createdAt: string;
  readonly route: string;
}

/** @param routes documents of which some `parentRefs` name the parent; the others are left out */
export function compileRoutes(routes: readonly HttpRoute[], parent: RouteParent): RouteTable {
  const entries = routes.flatMap((route) => entriesOf(route, parent));
  const everywhere = entries.filter(({ port }) => port === null);
  const any = portTable(everywhere);
  const byPort = new Map<number, PortTable | null>();
  for (const { port } of entries) {
    if (port !== null && !byPort.has(port))
      byPort.set(port, portTable(entries.filter((entry) => entry.port === null || entry.port === port)));
  }
  const tableOf = (port: number): PortTable | null => byPort.get(port) ?? any;
  return {
    covers: (port) => tableOf(port) !== null,
    match: (head, port) => tableOf(port)?.match(head) ?? null,
  };
}

function portTable(entries: readonly Entry[]): PortTable | null {
  return entries.length === 0 ? null : new PortTable(entries);
}

/** A node of the tree: one path element below its parent. */
interface PathNode {
  candidates: Candidates | null;
  readonly children: Map<string, PathNode>;
}

class PortTable {
  readonly #exact = new Map<string, Candidates>();
  readonly #root: PathNode = { candidates: null, children: new Map() };

  constructor(entries: readonly Entry[]) {
    const ranked = [...entries].sort(byPrecedence);
    const exact = new Map<string, Candidate[]>();
    const prefix = new Map<string, Candidate[]>();
    ranked.forEach((entry, rank) => {
      const paths = entry.isExact ? exact : prefix;
      const candidate = { condition: entry.condition, rule: entry.rule, rank };
      const list = paths.get(entry.path);
      if (list === undefined) paths.set(entry.path, [candidate]);
      else list.push(candidate);
    });
    for (const [path, candidates] of exact) this.#exact.set(path, new Candidates(candidates));
    for (const [path, candidates] of prefix) this.#node(path).candidates = new Candidates(candidates);
  }

  match(head: RequestHead): RouteRule | null {
    const exact = this.#exact.get(head.path)?.best(head);
    if (exact) return exact.rule;
    return below(this.#root, head, 0)?.rule ?? null;
  }

  #node(path: string): PathNode {
    let node = this.#root;
    if (path === "") return node;
    for (const element of path.slice(1).split("/")) {
      let child = node.children.get(element);
      if (child === undefined) node.children.set(element, (child = { candidates: null, children: new Map() }));
      node = child;
    }
    return node;
  }
}

/** The best match at or below `node`, longest prefix first. `at` is where the next "/" of the path is expected. */
function below(node: PathNode, head: RequestHead, at: number): Candidate | null {
  const { path } = head;
  if (node.children.size > 0 && path.charCodeAt(at) === 47) {
    const slash = path.indexOf("/", at + 1);
    const end = slash < 0 ? path.length : slash;
    const child = node.children.get(path.slice(at + 1, end));
    const found = child === undefined ? null : below(child, head, end);
    if (found !== null) return found;
  }
  return node.candidates?.best(head) ?? null;
}

function entriesOf(route: HttpRoute, parent: RouteParent): Entry[] {
  const { metadata, spec } = route;
  const refs = spec.parentRefs.filter(
    (ref) => ref.name === parent.name && (ref.namespace ?? metadata.namespace) === parent.namespace,
  );
  // One reference without a port covers them all.
  const ports = refs.some((ref) => ref.port === undefined) ? [null] : [...new Set(refs.map((ref) => ref.port!))];
  const entries: Entry[] = [];
  // Gateway API's default for absent rules: one that matches everything and has no backend.
  for (const written of spec.rules ?? [{}]) {
    const rule = compileRule(route, written, parent);
    for (const match of matchesOf(written.matches)) {
      const condition = compileCondition(match);
      const path = pathOf(match);
      for (const port of ports) {
        entries.push({ ...path, condition, rule, port, createdAt: metadata.creationTimestamp ?? "", route: rule.name });
      }
    }
  }
  return entries;
}

/** A rule without matches matches everything. */
function matchesOf(matches: readonly HttpRouteMatch[] | undefined): readonly HttpRouteMatch[] {
  return matches === undefined || matches.length === 0 ? [{}] : matches;
}

function pathOf(match: HttpRouteMatch): Pick<Entry, "isExact" | "path"> {
  const value = match.path?.value ?? "/";
  if (match.path?.type === "Exact") return { isExact: true, path: value };
  let end = value.length;
  while (end > 0 && value.charCodeAt(end - 1) === 47) end--;
  return { isExact: false, path: value.slice(0, end) };
}

/**
 * Exact path, longest prefix, method, most headers, most query parameters, oldest route, alphabetical, order of appearance
 * (Gateway API `HTTPRouteRule.matches`); the last one by the sort being stable.
 */
function byPrecedence(a: Entry, b: Entry): number {
  return (
    Number(b.isExact) - Number(a.isExact) ||
    b.path.length - a.path.length ||
    Number(b.condition.method !== null) - Number(a.condition.method !== null) ||
    b.condition.headers.length - a.condition.headers.length ||
    b.condition.query.length - a.condition.query.length ||
    compareText(a.createdAt, b.createdAt) ||
    compareText(a.route, b.route)
  );
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
