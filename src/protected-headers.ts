/**
 * Header names that only the mesh may set: who the caller is, and how stations of one mesh steer each other. Whoever else
 * sends them is not believed, in whatever spelling (L1, L6, L29).
 */

/** Exact names and prefixes (those that end with a hyphen), by first letter: a name is compared with few of them. */
const protectedNames: readonly string[] = [
  "client-cert",
  "client-cert-chain",
  "l5d-",
  "x-client-cert",
  "x-client-cert-",
  "x-envoy-",
  "x-fetchmesh-",
  "x-forwarded-client-cert",
  "x-forwarded-client-cert-",
  "x-mesh-",
  "x-retry-",
  "x-spiffe-",
  "x-timeout-",
];

/** Names that servers which turn `_` into `-` (CGI, WSGI and their heirs) would take for framing or forwarding facts. */
const shadowedNames: ReadonlySet<string> = new Set([
  "content-encoding",
  "content-length",
  "content-type",
  "forwarded-for",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "traceparent",
  "transfer-encoding",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-real-ip",
  "x-request-id",
]);

const firstCodes: ReadonlySet<number> = new Set(protectedNames.map((name) => name.charCodeAt(0)));

/** Is this lower-case name the mesh's own, or one that a careless server cannot tell from it? */
export function isProtectedHeader(name: string): boolean {
  if (name.includes("_")) {
    const hyphened = name.replaceAll("_", "-");
    return shadowedNames.has(hyphened) || isProtected(hyphened);
  }
  return isProtected(name);
}

function isProtected(name: string): boolean {
  if (!firstCodes.has(name.charCodeAt(0))) return false;
  for (const own of protectedNames) {
    if (own.endsWith("-") ? name.startsWith(own) : name === own) return true;
  }
  return false;
}
