/** `AuthorizationPolicy` in Istio's shape. Fields that nothing enforces yet are refused: ignoring one would open a door. */
import * as z from "zod/mini";
import { coreGroup, labelName, metadataOf, objectName, text } from "./resource-common.ts";

// Istio: exact, "prefix*", "*suffix" or "*" (present); "/api/**" is read as "/api/*". A star elsewhere would be a surprise.
const pattern = text('a value with "*" only at the start or only at the end', (value) => {
  const inner = value.startsWith("*") ? value.replace(/^\*+/, "") : value.replace(/\*+$/, "");
  return value.length > 0 && value.length <= 2_048 && !inner.includes("*");
});
const patterns = z.optional(z.array(pattern).check(z.minLength(1), z.maxLength(256)));

const source = z.strictObject({
  principals: patterns,
  notPrincipals: patterns,
  namespaces: patterns,
  notNamespaces: patterns,
});
const operation = z.strictObject({ methods: patterns, notMethods: patterns, paths: patterns, notPaths: patterns });

const rule = z.strictObject({
  from: z.optional(z.array(z.strictObject({ source })).check(z.minLength(1), z.maxLength(256))),
  to: z.optional(z.array(z.strictObject({ operation })).check(z.minLength(1), z.maxLength(256))),
});

export const authorizationPolicySchema = z.strictObject({
  apiVersion: z.enum(["security.istio.io/v1", "security.istio.io/v1beta1"]),
  kind: z.literal("AuthorizationPolicy"),
  metadata: metadataOf(objectName),
  spec: z._default(
    z.strictObject({
      /** Which services of the namespace; without `selector` and `targetRefs`, all of them. `app` is the service's name. */
      selector: z.optional(z.strictObject({ matchLabels: z.strictObject({ app: labelName }) })),
      targetRefs: z.optional(
        z
          .array(z.strictObject({ group: coreGroup, kind: z.enum(["Service"]), name: labelName }))
          .check(z.minLength(1), z.maxLength(16)),
      ),
      /** @default "ALLOW" */
      action: z.optional(z.enum(["ALLOW", "DENY"])),
      /** Absent or empty: matches nothing, so an ALLOW policy without rules denies everything (Istio). */
      rules: z.optional(z.array(rule).check(z.maxLength(512))),
    }),
    {},
  ),
});

export type AuthorizationPolicy = z.infer<typeof authorizationPolicySchema>;
export type AuthorizationRule = z.infer<typeof rule>;
export type AuthorizationSource = z.infer<typeof source>;
export type AuthorizationOperation = z.infer<typeof operation>;
