/** `Service`: names a service, the ports it is called by, and endpoints that no sidecar registers. */
import * as z from "zod/mini";
import { integer, labelName, metadataOf, portNumber, text } from "./resource-common.ts";
import { splitAddress } from "./address.ts";

const port = z.strictObject({
  name: z.optional(labelName),
  port: portNumber,
  /** Kubernetes' way to say where the container listens; a sidecar knows its own `--app`, so it is informational. */
  targetPort: z.optional(z.union([portNumber, labelName])),
  protocol: z.optional(z.enum(["TCP"])),
  appProtocol: z.optional(z.string().check(z.minLength(1), z.maxLength(253))),
});

const endpoint = z.strictObject({
  address: text('"host:port", with IPv6 in brackets', (value) => splitAddress(value) !== null),
  weight: z.optional(integer(0, 1_000_000)),
  zone: z.optional(z.string().check(z.minLength(1), z.maxLength(63))),
  identity: z.optional(
    text(
      "a SPIFFE ID such as spiffe://mesh.local/ns/default/sa/orders",
      (value) => spiffeShape.test(value) && value.length <= 2_048,
    ),
  ),
});

// The full check is identity/spiffe-id.ts at the connection; this one is to tell a typist early.
const spiffeShape = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)+$/;

export const serviceSchema = z.strictObject({
  apiVersion: z.enum(["fetchmesh.dev/v1alpha1"]),
  kind: z.literal("Service"),
  metadata: metadataOf(labelName),
  spec: z._default(
    z.strictObject({
      ports: z.optional(z.array(port).check(z.maxLength(64))),
      endpoints: z.optional(z.array(endpoint).check(z.maxLength(10_000))),
    }),
    {},
  ),
});

export type ServiceResource = z.infer<typeof serviceSchema>;
export type ServiceEndpoint = z.infer<typeof endpoint>;
