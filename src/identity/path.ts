/**
 * Certification path validation for where no TLS stack does it for us: certificates read from files, renewals, join replies.
 * Also for resumed sessions, where one does not (Deno).
 *
 * @see RFC 5280 §6.1
 */
import { isEmptyName, isSelfIssued, readCertificate, validityProblem, type Certificate } from "./certificate.ts";
import { equalBytes } from "./der.ts";
import { extendedKeyUsages, keyUsageBits } from "./extensions.ts";
import { verifySignature } from "./public-key.ts";
import { parseSpiffeId } from "./spiffe-id.ts";

export interface PathOptions {
  /** DER, leaf first; the rest in any order, superfluous ones allowed. */
  readonly chain: readonly Uint8Array[];
  /** DER of the trust anchors of the leaf's trust domain. */
  readonly roots: readonly Uint8Array[];
  /** Epoch ms. */
  readonly nowMs: number;
  /** Certificates between leaf and root, self-issued ones not counted. @default 4 */
  readonly maxIntermediates?: number;
  /**
   * Insist on the key identifiers that RFC 5280 demands of issuers. TLS stacks do not, so neither may who loads a certificate
   * that only has to satisfy them.
   *
   * @default true
   */
  readonly requiresKeyIds?: boolean;
}

// A builder that tries everything can be kept busy for hours by a hundred cross-signed CAs (Go's TestPathologicalChains).
// Real paths need two or three checks.
const maxSignatureChecks = 32;
const maxSelfIssued = 4;

/** Why no path leads from the leaf to a root, or null if one does. The SPIFFE rules of the leaf itself are `spiffeIdOfLeaf`'s. */
export async function pathProblem(options: PathOptions): Promise<string | null> {
  const [leafDer, ...others] = options.chain;
  if (leafDer === undefined) return "there is no certificate";
  const leaf = readCertificate(leafDer);
  if (typeof leaf === "string") return leaf;
  const search: Search = {
    intermediates: others.map(readCertificate).filter(isReadable),
    roots: options.roots.map(readCertificate).filter(isReadable),
    nowMs: options.nowMs,
    maxIntermediates: options.maxIntermediates ?? 4,
    requiresKeyIds: options.requiresKeyIds ?? true,
    checksLeft: maxSignatureChecks,
  };
  const objection =
    leaf.extensions.objection ?? validityProblem(leaf, options.nowMs) ?? namesProblem(leaf, false, search);
  return objection === null ? await extend(search, [leaf]) : `leaf is refused: ${objection}`;
}

interface Search {
  readonly intermediates: readonly Certificate[];
  readonly roots: readonly Certificate[];
  readonly nowMs: number;
  readonly maxIntermediates: number;
  readonly requiresKeyIds: boolean;
  checksLeft: number;
}

/** Depth first, roots before intermediates. Returns null once a root closes the path. */
async function extend(search: Search, path: readonly Certificate[]): Promise<string | null> {
  const child = path[path.length - 1]!;
  const above = path.slice(1);
  const counted = above.filter((certificate) => !isSelfIssued(certificate)).length;
  let reason = "issuer is not known";
  for (const [isRoot, candidates] of [
    [true, search.roots],
    [false, search.intermediates],
  ] as const) {
    for (const issuer of candidates) {
      if (!equalBytes(issuer.subject, child.issuer)) continue;
      if (path.some((certificate) => equalBytes(certificate.der, issuer.der))) continue;
      const problem = issuerProblem(issuer, isRoot, counted, search);
      if (problem !== null) {
        reason = problem;
        continue;
      }
      const isTooLong =
        !isRoot &&
        (counted + (isSelfIssued(issuer) ? 0 : 1) > search.maxIntermediates || above.length - counted > maxSelfIssued);
      if (isTooLong) {
        reason = "path is too long";
        continue;
      }
      if (search.checksLeft-- <= 0) return "path is too expensive to find";
      if (!(await verifySignature(issuer.publicKey, child.signatureAlgorithm, child.signed, child.signature))) {
        reason = "signature does not verify";
        continue;
      }
      if (isRoot) return null;
      const rest = await extend(search, [...path, issuer]);
      if (rest === null) return null;
      reason = rest;
    }
  }
  return reason;
}

/** Why a certificate may not sign the one below it. `below` counts the intermediates between it and the leaf. */
function issuerProblem(issuer: Certificate, isRoot: boolean, below: number, search: Search): string | null {
  const { basicConstraints, keyUsage, extendedKeyUsage, subjectAltName, objection } = issuer.extensions;
  const which = isRoot ? "root" : "intermediate";
  if (objection !== null) return `${which} is refused: ${objection}`;
  const validity = validityProblem(issuer, search.nowMs);
  if (validity !== null) return `${which} is ${validity}`;
  if (basicConstraints?.isCa !== true) return `${which} is not a CA`;
  if (!basicConstraints.isCritical) return `${which} has basic constraints that are not critical`;
  if (basicConstraints.pathLength !== null && below > basicConstraints.pathLength)
    return `${which} does not allow a path of this length`;
  if (keyUsage === null || (keyUsage.bits & keyUsageBits.keyCertSign) === 0)
    return `${which} may not sign certificates`;
  if (extendedKeyUsage !== null && !isRoot && !allowsPeers(extendedKeyUsage))
    return `${which} may not sign for serverAuth and clientAuth`;
  if (search.requiresKeyIds && !issuer.extensions.hasSubjectKeyId) return `${which} has no subject key identifier`;
  for (const uri of subjectAltName?.uris ?? []) {
    const id = parseSpiffeId(uri);
    // X509-SVID §4.1: an issuer is a trust domain, or it has no SPIFFE ID; a workload never signs.
    if (typeof id !== "string" && id.path !== "") return `${which} is the workload ${id.text}`;
  }
  return namesProblem(issuer, isRoot, search);
}

function namesProblem(certificate: Certificate, isRoot: boolean, search: Search): string | null {
  if (isEmptyName(certificate.issuer)) return "issuer name is empty";
  const isCa = certificate.extensions.basicConstraints?.isCa === true;
  if (isCa && isEmptyName(certificate.subject)) return "name of a CA is empty";
  const isExempt = !search.requiresKeyIds || (isRoot && isSelfIssued(certificate));
  return certificate.extensions.authorityKeyId === "with-key" || isExempt
    ? null
    : "authority key identifier is missing";
}

function allowsPeers(usages: readonly string[]): boolean {
  return (
    usages.includes(extendedKeyUsages.any) ||
    (usages.includes(extendedKeyUsages.serverAuth) && usages.includes(extendedKeyUsages.clientAuth))
  );
}

function isReadable(certificate: Certificate | string): certificate is Certificate {
  return typeof certificate !== "string";
}
