/** `HTTPRoute` as written for Kubernetes, with Services as parents (GAMMA). */
import * as z from "zod/mini";
import {
  coreGroup,
  duration,
  integer,
  labelName,
  metadataOf,
  objectName,
  portNumber,
  positiveDuration,
  text,
} from "./resource-common.ts";

const headerName = text("a header name (RFC 9110 token)", (value) =>
  /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/.test(value),
);
// RFC 9110 §5.5: no CR, LF or NUL can be smuggled through a filter; obs-text is not for documents.
const headerValue = text(
  "a header value: visible ASCII, spaces and tabs, not at the ends",
  (value) => value.length <= 4_096 && /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/.test(value),
);

const pathValue = text(
  'a path that starts with "/" and holds no "//", "/./", "/../", "%2f", "?" or "#"',
  (value) =>
    value.length <= 1_024 &&
    value.startsWith("/") &&
    !value.includes("//") &&
    !/\/\.\.?(?:\/|$)/.test(value) &&
    !/%2f|[#?\s]/i.test(value),
);

const pathMatch = z.strictObject({ type: z.optional(z.enum(["Exact", "PathPrefix"])), value: z.optional(pathValue) });
const headerMatch = z.strictObject({ type: z.optional(z.enum(["Exact"])), name: headerName, value: headerValue });
const queryParamMatch = z.strictObject({
  type: z.optional(z.enum(["Exact"])),
  name: z.string().check(z.minLength(1), z.maxLength(256)),
  value: z.string().check(z.maxLength(1_024)),
});

const match = z.strictObject({
  path: z.optional(pathMatch),
  headers: z.optional(z.array(headerMatch).check(z.maxLength(16))),
  queryParams: z.optional(z.array(queryParamMatch).check(z.maxLength(16))),
  method: z.optional(z.enum(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])),
});

const headerLine = z.strictObject({ name: headerName, value: headerValue });
const headerModifier = z.strictObject({
  set: z.optional(z.array(headerLine).check(z.maxLength(16))),
  add: z.optional(z.array(headerLine).check(z.maxLength(16))),
  remove: z.optional(z.array(headerName).check(z.maxLength(16))),
});

const filter = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("RequestHeaderModifier"), requestHeaderModifier: headerModifier }),
  z.strictObject({ type: z.literal("ResponseHeaderModifier"), responseHeaderModifier: headerModifier }),
]);

const filters = z.optional(z.array(filter).check(z.maxLength(16)));

const backendRef = z.strictObject({
  group: coreGroup,
  kind: z.optional(z.enum(["Service"])),
  name: labelName,
  namespace: z.optional(labelName),
  port: z.optional(portNumber),
  weight: z.optional(integer(0, 1_000_000)),
  filters,
});

/** Retry of a rule; `attempts` counts repeats, as Gateway API does. */
export const retrySchema = z.strictObject({
  codes: z.optional(z.array(integer(400, 599)).check(z.maxLength(200))),
  attempts: z.optional(integer(0, 10)),
  backoff: z.optional(positiveDuration),
});

const rule = z.strictObject({
  name: z.optional(objectName),
  matches: z.optional(z.array(match).check(z.maxLength(64))),
  filters,
  backendRefs: z.optional(z.array(backendRef).check(z.maxLength(16))),
  timeouts: z.optional(z.strictObject({ request: z.optional(duration), backendRequest: z.optional(duration) })),
  retry: z.optional(retrySchema),
});

const parentRef = z.strictObject({
  group: coreGroup,
  kind: z.enum(["Service"]),
  name: labelName,
  namespace: z.optional(labelName),
  port: z.optional(portNumber),
});

const hostname = text(
  'a host name, "*." allowed in front',
  (value) =>
    value.length <= 253 &&
    /^(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/.test(value),
);

export const httpRouteSchema = z.strictObject({
  apiVersion: z.enum(["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]),
  kind: z.literal("HTTPRoute"),
  metadata: metadataOf(objectName),
  spec: z.strictObject({
    parentRefs: z.array(parentRef).check(z.minLength(1), z.maxLength(32)),
    hostnames: z.optional(z.array(hostname).check(z.maxLength(16))),
    rules: z.optional(z.array(rule).check(z.maxLength(64))),
  }),
});

export type HttpRoute = z.infer<typeof httpRouteSchema>;
export type HttpRouteRule = z.infer<typeof rule>;
export type HttpRouteMatch = z.infer<typeof match>;
export type HttpRouteFilter = z.infer<typeof filter>;
export type HttpHeaderModifier = z.infer<typeof headerModifier>;
export type HttpBackendRef = z.infer<typeof backendRef>;
export type HttpParentRef = z.infer<typeof parentRef>;
export type RetrySpec = z.infer<typeof retrySchema>;
