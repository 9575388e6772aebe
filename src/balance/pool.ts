/** Divides the endpoints of a service into those a pick may choose and those its breakers keep out. */
import type { BreakerState } from "../policy/breaker.ts";
import type { EndpointState } from "./endpoint.ts";

/** The result of a division; computed when something changed, read by every pick. */
export interface Choice {
  /** Endpoints of positive weight that are not ejected. */
  readonly available: readonly EndpointState[];
  /** Running totals of their weights; `null` if all weigh the same. */
  readonly cumulativeWeights: readonly number[] | null;
  readonly ejected: readonly EndpointState[];
  /** When the first ejected endpoint wants a probe; Infinity if none does. */
  readonly nextProbeMs: number;
}

/**
 * Ejects what is not closed, but never more than `maxEjectedRatio` of the pool and never its last endpoint: when everything
 * fails, refusing everything helps nobody (Envoy's panic mode). An operator's word is above that rule.
 */
export function partition(endpoints: readonly EndpointState[], maxEjectedRatio: number): Choice {
  const serving = endpoints.filter((endpoint) => endpoint.record.weight > 0);
  const forced = serving.filter((endpoint) => isForcedOpen(endpoint.breaker));
  const suspects = serving.filter(
    (endpoint) => endpoint.breaker.current.kind !== "closed" && !isForcedOpen(endpoint.breaker),
  );

  // A percentage times a count must not lose its last integer to binary fractions.
  const share = Math.floor(serving.length * maxEjectedRatio + 1e-9);
  const allowed = Math.max(0, Math.min(share, serving.length - 1) - forced.length);
  // Who is out stays out, then whoever failed first: an ejection must not wander while nothing new is known.
  suspects.sort((a, b) => Number(b.isEjected) - Number(a.isEjected) || a.breaker.sinceMs - b.breaker.sinceMs);
  const ejected = [...forced, ...suspects.slice(0, allowed)];

  for (const endpoint of endpoints) endpoint.isEjected = false;
  for (const endpoint of ejected) endpoint.isEjected = true;
  const available = serving.filter((endpoint) => !endpoint.isEjected);
  return { available, cumulativeWeights: cumulate(available), ejected, nextProbeMs: nextProbe(ejected) };
}

function isForcedOpen({ current }: BreakerState): boolean {
  return current.kind === "open" && current.source === "forced";
}

function cumulate(endpoints: readonly EndpointState[]): readonly number[] | null {
  const first = endpoints[0]?.record.weight;
  if (endpoints.every((endpoint) => endpoint.record.weight === first)) return null;
  let total = 0;
  return endpoints.map((endpoint) => (total += endpoint.record.weight));
}

function nextProbe(ejected: readonly EndpointState[]): number {
  let nextMs = Infinity;
  for (const { breaker } of ejected) {
    if (breaker.current.kind === "open") nextMs = Math.min(nextMs, breaker.current.untilMs);
    else if (breaker.current.kind === "half-open" && !breaker.current.probing) nextMs = -Infinity;
  }
  return nextMs;
}
