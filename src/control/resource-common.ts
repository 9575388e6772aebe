/** The parts every kind is made of. Schemas are strict: a key nobody reads is a misspelling, never ignored. */
import * as z from "zod/mini";
import { parseDuration } from "./duration.ts";

const dnsLabel = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const dnsName = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)*$/;

/** A string that `accept` takes; `expected` finishes the sentence "must be …". */
export function text(expected: string, accept: (value: string) => boolean): z.ZodMiniString<string> {
  return z.string().check(z.refine(accept, { error: expected }));
}

/** RFC 1123 label: what a service or a namespace may be called, because a SPIFFE ID and a host name carry it. */
export const labelName: z.ZodMiniString<string> = text(
  'a name of at most 63 of a-z, 0-9 and "-", starting and ending with a letter or digit',
  (value) => dnsLabel.test(value),
);

/** RFC 1123 subdomain: what a route or a policy may be called. */
export const objectName: z.ZodMiniString<string> = text(
  'a name of at most 253 of a-z, 0-9, "-" and ".", starting and ending with a letter or digit',
  (value) => value.length <= 253 && dnsName.test(value),
);

export const duration: z.ZodMiniString<string> = text(
  'a duration such as "250ms", "10s" or "1m30s" (Gateway API: up to four numbers with h, m, s or ms)',
  (value) => parseDuration(value) !== null,
);

export const positiveDuration: z.ZodMiniString<string> = text(
  'a duration above zero such as "250ms", "10s" or "1m30s" (Gateway API: up to four numbers with h, m, s or ms)',
  (value) => (parseDuration(value) ?? 0) > 0,
);

export function integer(least: number, most: number): z.ZodMiniNumber<number> {
  return z.int().check(z.gte(least), z.lte(most));
}

export function numberWithin(least: number, most: number): z.ZodMiniNumber<number> {
  return z.number().check(z.gte(least), z.lte(most));
}

export const portNumber: z.ZodMiniNumber<number> = integer(1, 65_535);

/**
 * `metadata` of every kind. What only Kubernetes writes there is accepted and dropped, so that the output of
 * `kubectl get -o yaml` can be applied as it is.
 */
export const metadataOf = (name: z.ZodMiniString<string>) =>
  z.pipe(
    z.strictObject({
      name,
      namespace: z._default(labelName, "default"),
      labels: z.optional(z.record(z.string(), z.string())),
      annotations: z.optional(z.record(z.string(), z.string())),
      creationTimestamp: z.nullish(z.string().check(z.maxLength(64))),
      uid: z.optional(z.unknown()),
      resourceVersion: z.optional(z.unknown()),
      generation: z.optional(z.unknown()),
      managedFields: z.optional(z.unknown()),
      ownerReferences: z.optional(z.unknown()),
      finalizers: z.optional(z.unknown()),
      selfLink: z.optional(z.unknown()),
    }),
    z.transform((given): Metadata => {
      const kept: { -readonly [K in keyof Metadata]: Metadata[K] } = { name: given.name, namespace: given.namespace };
      if (given.labels !== undefined) kept.labels = given.labels;
      if (given.annotations !== undefined) kept.annotations = given.annotations;
      if (typeof given.creationTimestamp === "string") kept.creationTimestamp = given.creationTimestamp;
      return kept;
    }),
  );

export interface Metadata {
  readonly name: string;
  /** @default "default" */
  readonly namespace: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** RFC 3339, set when a document is first published: the older of two equal routes wins (Gateway API). */
  readonly creationTimestamp?: string;
}

/** The core group is written `group: ""` in Kubernetes; older texts say "core". */
export const coreGroup = z.optional(z.enum(["", "core"]));
