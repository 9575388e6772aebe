/**
 * Header names that only the mesh may set: who the caller is, and how stations of one mesh steer each other. Whoever else
 * sends them is not believed, in whatever spelling (L1, L6, L29).
 */

/** Exact names and prefixes (those that end with a hyphen). */
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

/** Names by what their first and third letter make together: hardly any other name of a request shares both. */
const candidates = new Map<number, string[]>();
for (const name of protectedNames) {
  const alike = candidates.get(letters(name));
  if (alike === undefined) candidates.set(letters(name), [name]);
  else alike.push(name);
}

/** Is this lower-case name the mesh's own, or one that a careless server cannot tell from it? */
export function isProtectedHeader(name: string): boolean {
  if (!name.includes("_")) return isProtected(name);
  const hyphened = name.replaceAll("_", "-");
  return shadowedNames.has(hyphened) || isProtected(hyphened);
}

/** Could a name without `_` that has these letters, lower-case, in first and third place be one? */
export function mayBeProtected(first: number, third: number): boolean {
  return candidates.has((first << 8) | third);
}

function isProtected(name: string): boolean {
  const alike = candidates.get(letters(name));
  if (alike === undefined) return false;
  for (const own of alike) if (own.endsWith("-") ? name.startsWith(own) : name === own) return true;
  return false;
}

function letters(name: string): number {
  return (name.charCodeAt(0) << 8) | name.charCodeAt(2);
}
