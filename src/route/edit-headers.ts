/** Writes down what the matched rule changes in the headers; whoever writes the bytes applies it. */
import type { Layer, Routed } from "../exchange.ts";
import { applyHeaderFilter } from "./filters.ts";

/** Rule first, then backend: the more specific has the last word. The reply's edits hold for refusals of our own, too. */
export function editHeaders(): Layer<Routed> {
  return (next) => (x) => {
    const { rule, backend } = x.route;
    if (rule.requestFilter !== null) applyHeaderFilter(rule.requestFilter, x.requestEdits);
    if (backend.requestFilter !== null) applyHeaderFilter(backend.requestFilter, x.requestEdits);
    // On the way back the backend comes first, so that rule and backend stay nested as they are on the way there.
    if (backend.responseFilter !== null) applyHeaderFilter(backend.responseFilter, x.responseEdits);
    if (rule.responseFilter !== null) applyHeaderFilter(rule.responseFilter, x.responseEdits);
    return next(x);
  };
}
