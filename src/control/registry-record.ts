/** Instance records as they lie in a store: written by anybody, so read with suspicion. */
import * as z from "zod/mini";
import { splitAddress } from "./address.ts";
import { parseBounded } from "./envelope.ts";
import { labelName, text } from "./resource-common.ts";
import type { InstanceRecord } from "./store.ts";

const address = text('"host:port"', (value) => splitAddress(value) !== null);
const word = z.string().check(z.maxLength(256));

/** Of `InstanceRecord.calls`: more services than one instance usually calls, in less than a kilobyte or two. */
export const maxCalls = 64;

const idPattern = /^[A-Za-z0-9._-]{1,128}$/;

/** Whether a text can be an instance's id. Stores make keys and file names of it: nothing else may reach them. */
export function isInstanceId(id: string): boolean {
  return idPattern.test(id);
}

const recordSchema = z.object({
  id: z.string().check(z.regex(idPattern)),
  service: labelName,
  namespace: labelName,
  address,
  addressH2: z.nullable(address),
  spiffeId: z.string().check(z.maxLength(2_048)),
  zone: z.nullable(word),
  weight: z.int().check(z.gte(0), z.lte(1_000_000)),
  runtime: word,
  appliedEpoch: word,
  appliedVersion: z.int().check(z.gte(0)),
  state: z.enum(["applied", "stale", "nacked"]),
  reason: z.nullable(z.string().check(z.maxLength(4_096))),
  certificateExpiresAt: z.nullable(word),
  seenAtMs: z.number(),
  calls: z.optional(z.array(word).check(z.maxLength(maxCalls))),
});

/** A record, or `null` if it is not one: one bad entry must not hide the others. */
export function readRecord(value: unknown): InstanceRecord | null {
  const result = z.safeParse(recordSchema, value);
  return result.success ? result.data : null;
}

export function readRecordText(body: string): InstanceRecord | null {
  try {
    return readRecord(parseBounded(body, 16_384));
  } catch {
    return null;
  }
}

/**
 * What callers would do differently about: a heartbeat that changes none of it is not worth a message to everyone.
 */
export function visibleText({
  service,
  namespace,
  address,
  addressH2,
  spiffeId,
  zone,
  weight,
}: InstanceRecord): string {
  return JSON.stringify({ service, namespace, address, addressH2, spiffeId, zone, weight });
}
