/** What makes two documents the same document. */
import type { Resource } from "./resources.ts";

/** `HTTPRoute default/orders`. */
export function resourceKey(resource: Resource): string {
  return `${resource.kind} ${resource.metadata.namespace}/${resource.metadata.name}`;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Kind, namespace, name: the one order documents are stored in, so that equal sets have equal digests. */
export function compareResources(a: Resource, b: Resource): number {
  return (
    byText(a.kind, b.kind) ||
    byText(a.metadata.namespace, b.metadata.namespace) ||
    byText(a.metadata.name, b.metadata.name)
  );
}
