/**
 * The matches that share one path, indexed so that finding the best costs the same for ten as for ten thousand: by method
 * where nothing else is asked, by one header or one query parameter otherwise.
 */
import type { RequestHead } from "../exchange.ts";
import { queryValue, satisfies, type Condition, type NameValue } from "./match.ts";
import type { RouteRule } from "./route.ts";

/** One match of one rule. `rank` is its place in the precedence of its table, 0 first. */
export interface Candidate {
  readonly condition: Condition;
  readonly rule: RouteRule;
  readonly rank: number;
}

/** Candidates by the value of one header or query parameter, each list in order of rank. */
interface ValueIndex {
  readonly name: string;
  readonly byValue: Map<string, Candidate[]>;
}

type Kind = "headers" | "query";

export class Candidates {
  /** By method, "" for any. The second of the same method can never be reached and is left out. */
  readonly #plain = new Map<string, Candidate>();
  readonly #byHeader: readonly ValueIndex[];
  readonly #byQuery: readonly ValueIndex[];

  /** @param candidates all of the same path, in any order */
  constructor(candidates: readonly Candidate[]) {
    const ordered = [...candidates].sort((a, b) => a.rank - b.rank);
    const headed = ordered.filter(({ condition }) => condition.headers.length > 0);
    const queried = ordered.filter(({ condition }) => condition.headers.length === 0 && condition.query.length > 0);
    for (const candidate of ordered) {
      const { headers, query, method } = candidate.condition;
      if (headers.length + query.length > 0) continue;
      if (!this.#plain.has(method ?? "")) this.#plain.set(method ?? "", candidate);
    }
    this.#byHeader = indexBy("headers", headed);
    this.#byQuery = indexBy("query", queried);
  }

  /** The highest in precedence that the request satisfies. */
  best(head: RequestHead): Candidate | null {
    let best = better(this.#plain.get(head.method) ?? null, this.#plain.get("") ?? null);
    for (let i = 0; i < this.#byHeader.length; i++) {
      const index = this.#byHeader[i]!;
      best = better(best, firstOf(index, head.get(index.name), head));
    }
    for (let i = 0; i < this.#byQuery.length; i++) {
      const index = this.#byQuery[i]!;
      best = better(best, firstOf(index, queryValue(head.query, index.name), head));
    }
    return best;
  }
}

/** Each candidate goes under the one of its names that tells most candidates apart. */
function indexBy(kind: Kind, candidates: readonly Candidate[]): readonly ValueIndex[] {
  const values = new Map<string, Set<string>>();
  for (const { condition } of candidates) {
    for (const { name, value } of condition[kind]) values.set(name, (values.get(name) ?? new Set()).add(value));
  }
  const indexes = new Map<string, ValueIndex>();
  for (const candidate of candidates) {
    const { name, value } = mostTelling(candidate.condition[kind], values);
    let index = indexes.get(name);
    if (index === undefined) indexes.set(name, (index = { name, byValue: new Map() }));
    const list = index.byValue.get(value);
    if (list === undefined) index.byValue.set(value, [candidate]);
    else list.push(candidate);
  }
  return [...indexes.values()];
}

function mostTelling(entries: readonly NameValue[], values: ReadonlyMap<string, ReadonlySet<string>>): NameValue {
  return entries.reduce((best, entry) => (values.get(entry.name)!.size > values.get(best.name)!.size ? entry : best));
}

function firstOf(index: ValueIndex, value: string | null, head: RequestHead): Candidate | null {
  if (value === null) return null;
  const list = index.byValue.get(value);
  if (list === undefined) return null;
  for (let i = 0; i < list.length; i++) if (satisfies(list[i]!.condition, head)) return list[i]!;
  return null;
}

function better(a: Candidate | null, b: Candidate | null): Candidate | null {
  if (a === null || b === null) return a ?? b;
  return a.rank < b.rank ? a : b;
}
