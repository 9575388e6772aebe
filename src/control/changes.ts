/** What applying or removing documents does to the set that is published. */
import { canonicalJson } from "./canonical.ts";
import { compareResources, resourceKey } from "./resource-key.ts";
import type { Resource } from "./resources.ts";

export type ChangeAction = "created" | "updated" | "unchanged" | "deleted";

export interface Change {
  readonly action: ChangeAction;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** A change with both sides: what was, and what will be. */
export interface Edit extends Change {
  readonly before: Resource | null;
  readonly after: Resource | null;
}

export interface Merge {
  readonly documents: readonly Resource[];
  readonly edits: readonly Edit[];
}

/** Upsert by kind, namespace and name. `at` (RFC 3339) becomes the age of documents that are new. */
export function upsert(published: readonly Resource[], written: readonly Resource[], at: string): Merge {
  const merged = new Map(published.map((document) => [resourceKey(document), document]));
  const edits: Edit[] = [];
  for (const document of written) {
    const key = resourceKey(document);
    const before = merged.get(key) ?? null;
    const after = aged(document, before?.metadata.creationTimestamp ?? document.metadata.creationTimestamp ?? at);
    edits.push(editOf(before, after));
    merged.set(key, after);
  }
  return { documents: [...merged.values()].sort(compareResources), edits };
}

/** The edits that turn one set into another, deletions included; what stays the same is left out. */
export function difference(from: readonly Resource[], to: readonly Resource[]): Edit[] {
  const before = new Map(from.map((document) => [resourceKey(document), document]));
  const edits: Edit[] = [];
  for (const document of to) {
    const key = resourceKey(document);
    edits.push(editOf(before.get(key) ?? null, document));
    before.delete(key);
  }
  for (const document of before.values()) edits.push(editOf(document, null));
  return edits.filter(({ action }) => action !== "unchanged");
}

export function withoutSides({ action, kind, namespace, name }: Edit): Change {
  return { action, kind, namespace, name };
}

function editOf(before: Resource | null, after: Resource | null): Edit {
  const { kind, metadata } = (after ?? before)!;
  return { action: actionOf(before, after), kind, namespace: metadata.namespace, name: metadata.name, before, after };
}

function actionOf(before: Resource | null, after: Resource | null): ChangeAction {
  if (before === null) return "created";
  if (after === null) return "deleted";
  return canonicalJson(before) === canonicalJson(after) ? "unchanged" : "updated";
}

function aged(document: Resource, creationTimestamp: string): Resource {
  return { ...document, metadata: { ...document.metadata, creationTimestamp } };
}
