/** `BackendPolicy`: how carefully a service is called. Absent fields keep the defaults of policy/backend-config.ts. */
import * as z from "zod/mini";
import {
  coreGroup,
  duration,
  integer,
  labelName,
  metadataOf,
  numberWithin,
  objectName,
  positiveDuration,
} from "./resource-common.ts";
import { retrySchema } from "./resource-http-route.ts";

const limit = z.optional(integer(1, 1_000_000));

export const backendPolicySchema = z.strictObject({
  apiVersion: z.enum(["fetchmesh.dev/v1alpha1"]),
  kind: z.literal("BackendPolicy"),
  metadata: metadataOf(objectName),
  spec: z.strictObject({
    targetRefs: z
      .array(z.strictObject({ group: coreGroup, kind: z.enum(["Service"]), name: labelName }))
      .check(z.minLength(1), z.maxLength(16)),
    balance: z.optional(z.strictObject({ algorithm: z.optional(z.enum(["least-request", "round-robin", "random"])) })),
    limits: z.optional(
      z.strictObject({
        maxConnections: limit,
        maxPendingRequests: limit,
        maxRequests: limit,
        maxRetries: z.optional(integer(0, 1_000_000)),
      }),
    ),
    breaker: z.optional(
      z.strictObject({
        consecutiveFailures: z.optional(integer(1, 10_000)),
        failureRatio: z.optional(numberWithin(0.01, 1)),
        minRequests: z.optional(integer(1, 1_000_000)),
        window: z.optional(positiveDuration),
        openFor: z.optional(positiveDuration),
        maxOpenFor: z.optional(positiveDuration),
        maxEjectionPercent: z.optional(integer(0, 100)),
        shared: z.optional(z.boolean()),
        quorum: z.optional(numberWithin(0.01, 1)),
      }),
    ),
    retry: z.optional(retrySchema),
    retryBudget: z.optional(
      z.strictObject({
        percent: z.optional(integer(0, 100)),
        minRetriesPerSecond: z.optional(integer(0, 10_000)),
        interval: z.optional(positiveDuration),
      }),
    ),
    timeouts: z.optional(
      z.strictObject({
        request: z.optional(duration),
        backendRequest: z.optional(duration),
        connect: z.optional(positiveDuration),
      }),
    ),
  }),
});

export type BackendPolicy = z.infer<typeof backendPolicySchema>;
