/** Votes and overrides as they lie in a store or come over HTTP: written by anybody, so read with suspicion. */
import * as z from "zod/mini";
import { splitAddress } from "./address.ts";
import { parseBounded } from "./envelope.ts";
import { labelName, text } from "./resource-common.ts";
import type { BreakerOverride, BreakerVote, Hint } from "./store.ts";

export const endpoint: z.ZodMiniString<string> = text('"host:port"', (value) => splitAddress(value) !== null);
const epochMs = z.number().check(z.gte(0), z.lte(Number.MAX_SAFE_INTEGER));

export const breakerVote: z.ZodMiniType<BreakerVote> = z.object({
  service: labelName,
  namespace: labelName,
  endpoint,
  voter: z.string().check(z.minLength(1), z.maxLength(128), z.regex(/^[A-Za-z0-9._-]+$/)),
  expiresAtMs: epochMs,
});

export const breakerOverride: z.ZodMiniType<BreakerOverride> = z.object({
  service: labelName,
  namespace: labelName,
  endpoint: z.nullable(endpoint),
  state: z.enum(["forced-open", "forced-closed", "reset"]),
  expiresAtMs: epochMs,
});

const word = z.string().check(z.maxLength(128));
const hint: z.ZodMiniType<Exclude<Hint, { t: "resync" }>> = z.discriminatedUnion("t", [
  z.object({
    t: z.literal("config"),
    epoch: z._default(word, ""),
    version: z.int().check(z.gte(1)),
    digest: z._default(word, ""),
  }),
  z.object({ t: z.literal("endpoints"), service: word, namespace: word }),
  z.object({
    t: z.literal("vote"),
    service: labelName,
    namespace: labelName,
    endpoint,
    voter: word,
    expiresAtMs: epochMs,
  }),
  z.object({
    t: z.literal("withdraw"),
    service: labelName,
    namespace: labelName,
    endpoint,
    voter: word,
    expiresAtMs: epochMs,
  }),
  z.object({ t: z.literal("breaker") }),
]);

/** A hint as it came over a channel anybody may write to; `null` if it is none. */
export function readHint(textOfHint: string): Hint | null {
  return readWith(hint, textOfHint);
}

export function readVote(textOfVote: string): BreakerVote | null {
  return readWith(breakerVote, textOfVote);
}

export function readOverride(textOfOverride: string): BreakerOverride | null {
  return readWith(breakerOverride, textOfOverride);
}

function readWith<T>(schema: z.ZodMiniType<T>, body: string): T | null {
  try {
    const result = z.safeParse(schema, parseBounded(body, 4_096));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
}
