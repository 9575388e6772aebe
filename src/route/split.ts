/** Weighted choice among the backends of one rule. */
import type { Random } from "../random.ts";
import type { RouteDecision, RouteRule } from "./route.ts";

/**
 * One backend by weight; `null` if there is none to choose: no backends, or weights that sum to 0 (both answer 500, Gateway
 * API). An invalid reference keeps its share, so that a typo in one backend never doubles the load of another.
 */
export function split(rule: RouteRule, random: Random): RouteDecision | null {
  const { decisions } = rule;
  if (decisions.length === 1) return decisions[0]!.backend.weight > 0 ? decisions[0]! : null;
  let total = 0;
  for (let i = 0; i < decisions.length; i++) total += decisions[i]!.backend.weight;
  if (total === 0) return null;
  let at = random() * total;
  for (let i = 0; i < decisions.length; i++) {
    at -= decisions[i]!.backend.weight;
    if (at < 0) return decisions[i]!;
  }
  return lastWeighted(decisions);
}

/** Floating point may leave nothing for anybody; a backend of weight 0 must not get it. */
function lastWeighted(decisions: readonly RouteDecision[]): RouteDecision | null {
  return decisions.findLast(({ backend }) => backend.weight > 0) ?? null;
}
