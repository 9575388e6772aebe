/**
 * SPIFFE IDs, read byte by byte. Never through `URL`: that normalises ("..", case, ports), and two spellings of one identity
 * are two identities.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md
 */
import { MeshError } from "../errors.ts";

export interface SpiffeId {
  /** The whole ID, exactly as written. Identities are equal if and only if their texts are. */
  readonly text: string;
  readonly trustDomain: string;
  /** "" for the ID of a trust domain itself, else "/…". */
  readonly path: string;
  /** Set, as is `service`, if the path is `/ns/<namespace>/sa/<service>`. */
  readonly namespace: string | null;
  readonly service: string | null;
}

/** Why an ID is not acceptable, or null. */
export type IdMatcher = (id: SpiffeId) => string | null;

const scheme = "spiffe://";
// SPIFFE-ID §2.1 and §2.3: receivers support trust domains of 255 bytes and IDs of 2048.
const maxTrustDomainBytes = 255;
const maxIdBytes = 2048;

/** Reads an ID; a string is the reason why it is none. */
export function parseSpiffeId(text: string): SpiffeId | string {
  if (text.length > maxIdBytes) return `SPIFFE ID is longer than ${maxIdBytes} bytes`;
  if (!text.startsWith(scheme)) return 'SPIFFE ID does not start with "spiffe://"';
  const slash = text.indexOf("/", scheme.length);
  const trustDomain = slash === -1 ? text.slice(scheme.length) : text.slice(scheme.length, slash);
  const path = slash === -1 ? "" : text.slice(slash);
  const problem = trustDomainProblem(trustDomain) ?? pathProblem(path);
  if (problem !== null) return problem;
  return describe(text, trustDomain, path);
}

/**
 * The identity of a service of the mesh: `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if a part cannot stand in a SPIFFE ID
 */
export function meshId(trustDomain: string, namespace: string, service: string): SpiffeId {
  // A part with a slash would still give a valid ID: somebody else's.
  for (const [what, segment] of [
    ["namespace", namespace],
    ["service", service],
  ] as const) {
    const problem = segment.includes("/") ? 'it contains "/"' : pathProblem(`/${segment}`);
    if (problem !== null)
      throw new MeshError("ERR_OPTION_INVALID", `The ${what} "${segment}" cannot be part of a SPIFFE ID: ${problem}`);
  }
  return requireSpiffeId(`${scheme}${trustDomain}/ns/${namespace}/sa/${service}`);
}

/** The control plane's own identity in a trust domain. */
export function controlId(trustDomain: string): SpiffeId {
  return meshId(trustDomain, "fetchmesh-system", "control");
}

/** @throws {MeshError} ERR_OPTION_INVALID if `text` is not a SPIFFE ID */
export function requireSpiffeId(text: string): SpiffeId {
  const id = parseSpiffeId(text);
  if (typeof id !== "string") return id;
  throw new MeshError("ERR_OPTION_INVALID", `${JSON.stringify(text)} is not a SPIFFE ID: ${id}`, {
    advice: "Write it as spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE, lower-case trust domain, no port, no query.",
  });
}

/** Why `name` cannot name a trust domain, or null. */
export function trustDomainProblem(name: string): string | null {
  if (name.length === 0) return "trust domain is missing";
  if (name.length > maxTrustDomainBytes) return `trust domain is longer than ${maxTrustDomainBytes} bytes`;
  for (let i = 0; i < name.length; i++) {
    if (!isTrustDomainByte(name.charCodeAt(i)))
      return "trust domain may only contain lower-case letters, digits, dots, dashes and underscores";
  }
  return null;
}

/** Accepts exactly one identity. */
export function matchId(expected: string): IdMatcher {
  return (id) => (id.text === expected ? null : `peer is ${id.text}, expected ${expected}`);
}

function describe(text: string, trustDomain: string, path: string): SpiffeId {
  const segments = path.split("/");
  const isMesh = segments.length === 5 && segments[1] === "ns" && segments[3] === "sa";
  return { text, trustDomain, path, namespace: isMesh ? segments[2]! : null, service: isMesh ? segments[4]! : null };
}

function pathProblem(path: string): string | null {
  if (path === "") return null;
  let start = 1;
  for (let i = 1; i <= path.length; i++) {
    const code = i === path.length ? 0x2f : path.charCodeAt(i);
    if (code !== 0x2f) {
      if (!isPathByte(code)) return "path may only contain letters, digits, dots, dashes and underscores";
      continue;
    }
    if (i === start) return i === path.length ? "path ends with a slash" : "path contains an empty segment";
    const isDots = path[start] === "." && (i - start === 1 || (i - start === 2 && path[start + 1] === "."));
    if (isDots) return "path contains a dot segment";
    start = i + 1;
  }
  return null;
}

function isTrustDomainByte(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2e || code === 0x5f
  );
}

function isPathByte(code: number): boolean {
  return isTrustDomainByte(code) || (code >= 0x41 && code <= 0x5a);
}
