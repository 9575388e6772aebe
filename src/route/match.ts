/** What a rule asks of a request besides its path. Values are compared exactly; nothing here runs a regular expression. */
import type { HttpRouteMatch } from "../control/resources.ts";
import type { RequestHead } from "../exchange.ts";

export interface NameValue {
  readonly name: string;
  readonly value: string;
}

export interface Condition {
  /** null: any. */
  readonly method: string | null;
  /** Names in lower case (RFC 9110 §5.1). */
  readonly headers: readonly NameValue[];
  /** Names as written: query names are case-sensitive. */
  readonly query: readonly NameValue[];
}

/** Of several entries for one name only the first counts (Gateway API). */
export function compileCondition(match: HttpRouteMatch): Condition {
  const headers = (match.headers ?? []).map(({ name, value }) => ({ name: name.toLowerCase(), value }));
  return { method: match.method ?? null, headers: firstOfName(headers), query: firstOfName(match.queryParams ?? []) };
}

export function satisfies(condition: Condition, head: RequestHead): boolean {
  if (condition.method !== null && condition.method !== head.method) return false;
  const { headers, query } = condition;
  for (let i = 0; i < headers.length; i++) if (head.get(headers[i]!.name) !== headers[i]!.value) return false;
  for (let i = 0; i < query.length; i++) if (queryValue(head.query, query[i]!.name) !== query[i]!.value) return false;
  return true;
}

/** The first value of a query parameter, decoded as a form is; `null` if absent. Equals `URLSearchParams.get`, without building one. */
export function queryValue(query: string, name: string): string | null {
  for (let from = 0; from <= query.length;) {
    const ampersand = query.indexOf("&", from);
    const to = ampersand < 0 ? query.length : ampersand;
    if (to > from) {
      const equals = query.indexOf("=", from);
      const split = equals < 0 || equals > to ? to : equals;
      if (decode(query.slice(from, split)) === name) return split < to ? decode(query.slice(split + 1, to)) : "";
    }
    from = to + 1;
  }
  return null;
}

function decode(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    // Not UTF-8, or a stray "%": URLSearchParams is lenient there, and rare enough to be asked itself.
    return new URLSearchParams(`v=${text}`).get("v") ?? "";
  }
}

function firstOfName(entries: readonly NameValue[]): readonly NameValue[] {
  const seen = new Set<string>();
  const first: NameValue[] = [];
  for (const { name, value } of entries) {
    if (seen.has(name)) continue;
    seen.add(name);
    first.push({ name, value });
  }
  return first;
}
