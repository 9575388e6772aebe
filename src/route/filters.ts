/** Header filters of a rule or of one backend, checked and flattened once so that applying them is a walk over an array. */
import type { HttpRouteFilter } from "../control/resources.ts";
import type { HeaderEdits } from "../headers.ts";

type ModifierType = HttpRouteFilter["type"];

/** What a `RequestHeaderModifier` or `ResponseHeaderModifier` does. Names match in any case (RFC 9110 §5.1). */
export interface HeaderFilter {
  readonly remove: readonly string[];
  /** name, value, name, value … */
  readonly set: readonly string[];
  readonly add: readonly string[];
}

/** The modifiers of one type as one filter; `null` if there is nothing to do. */
export function compileHeaderFilter(
  filters: readonly HttpRouteFilter[] | undefined,
  type: ModifierType,
): HeaderFilter | null {
  const remove: string[] = [];
  const set: string[] = [];
  const add: string[] = [];
  for (const filter of filters ?? []) {
    if (filter.type !== type) continue;
    const modifier =
      filter.type === "RequestHeaderModifier" ? filter.requestHeaderModifier : filter.responseHeaderModifier;
    for (const name of modifier.remove ?? []) remove.push(name.toLowerCase());
    for (const { name, value } of modifier.set ?? []) set.push(name, value);
    for (const { name, value } of modifier.add ?? []) add.push(name, value);
  }
  return remove.length + set.length + add.length === 0 ? null : { remove, set, add };
}

/** Removes, then sets, then adds: an `add` beside a `set` of the same name survives it. */
export function applyHeaderFilter(filter: HeaderFilter, edits: HeaderEdits): void {
  const { remove, set, add } = filter;
  for (let i = 0; i < remove.length; i++) edits.remove(remove[i]!);
  for (let i = 0; i < set.length; i += 2) edits.set(set[i]!, set[i + 1]!);
  for (let i = 0; i < add.length; i += 2) edits.add(add[i]!, add[i + 1]!);
}
