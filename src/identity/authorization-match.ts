/** Istio's string match, compiled: exact, `prefix*`, `*suffix`, `*`. Never a regular expression (Istio CVE-2026-39350). */

import type { SpiffeId } from "./spiffe-id.ts";

export interface Patterns {
  matches(value: string): boolean;
}

/** Any of `texts`. Matching is by bytes; give `fold` to compare both sides in lower case. */
export function compilePatterns(texts: readonly string[], fold = false): Patterns {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  const suffixes: string[] = [];
  // Istio has no "*infix*" and validation refuses it; if one gets here, a DENY must not be the weaker for it.
  const infixes: string[] = [];
  for (const text of texts) {
    const written = fold ? text.toLowerCase() : text;
    // "/api/**" is "/api/*": people write both, and a literal star in a path is not what they mean.
    const start = written.startsWith("*") ? written.replace(/^\*+/, "") : null;
    const end = written.endsWith("*") ? written.replace(/\*+$/, "") : null;
    if (start !== null && start.endsWith("*")) infixes.push(start.replace(/\*+$/, ""));
    else if (end !== null) prefixes.push(end);
    else if (start !== null) suffixes.push(start);
    else exact.add(written);
  }
  return {
    matches(value) {
      const seen = fold ? value.toLowerCase() : value;
      // "*" means present (Istio): an empty prefix does not match an empty value.
      if (seen === "") return false;
      if (exact.has(seen)) return true;
      for (const prefix of prefixes) if (seen.startsWith(prefix)) return true;
      for (const suffix of suffixes) if (seen.endsWith(suffix)) return true;
      for (const infix of infixes) if (seen.includes(infix)) return true;
      return false;
    },
  };
}

const scheme = "spiffe://";

/** Principals of a source: SPIFFE IDs with or without `spiffe://`, or patterns over them. */
export interface Principals {
  /** `home` is the trust domain this side belongs to. */
  matches(id: SpiffeId, home: string): boolean;
}

/** Trust domain and path are matched apart, so that no star reaches over the border: one in a trust domain stands for ours alone. */
export function compilePrincipals(texts: readonly string[]): Principals {
  const byDomain = new Map<string, string[]>();
  const atHome: string[] = [];
  for (const text of texts) {
    const written = text.startsWith(scheme) ? text.slice(scheme.length) : text;
    const slash = written.indexOf("/");
    const domain = slash === -1 ? written : written.slice(0, slash);
    if (domain.includes("*")) atHome.push(written);
    else byDomain.set(domain, [...(byDomain.get(domain) ?? []), slash === -1 ? "" : written.slice(slash)]);
  }
  const domains = new Map([...byDomain].map(([domain, paths]) => [domain, compilePatterns(paths)] as const));
  const home = compilePatterns(atHome);
  return {
    matches: (id, own) =>
      domains.get(id.trustDomain)?.matches(id.path) === true ||
      (id.trustDomain === own && home.matches(id.text.slice(scheme.length))),
  };
}
