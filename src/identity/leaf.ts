/** The rules an X509-SVID leaf must keep, on top of what the runtime's TLS verifies: OpenSSL and rustls let many pass. */
import { isEmptyName, readCertificate, validityProblem, type Certificate } from "./certificate.ts";
import { extendedKeyUsages, keyUsageBits } from "./extensions.ts";
import type { Peer } from "./peer.ts";
import { sha256Hex } from "./sha256.ts";
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";

export interface LeafExpectation {
  readonly trustDomain: string;
  /** Epoch ms. */
  readonly nowMs: number;
}

/** Who a leaf is, once the runtime verified its chain; a string is the reason why it is nobody. */
export function verifySpiffeLeaf(der: Uint8Array, expectation: LeafExpectation): Peer | string {
  const certificate = readCertificate(der);
  if (typeof certificate === "string") return certificate;
  const id = spiffeIdOfLeaf(certificate);
  if (typeof id === "string") return id;
  if (id.trustDomain !== expectation.trustDomain)
    return `peer belongs to trust domain ${id.trustDomain}, not ${expectation.trustDomain}`;
  const problem = validityProblem(certificate, expectation.nowMs);
  if (problem !== null) return `certificate of ${id.text} is ${problem}`;
  return { id, certificateHash: sha256Hex(der), notAfterMs: certificate.notAfterMs, isLocal: false };
}

/**
 * The SPIFFE ID of a leaf that keeps the rules of an X509-SVID; a string is the rule it breaks.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md §2 to §5
 */
export function spiffeIdOfLeaf(certificate: Certificate): SpiffeId | string {
  const { basicConstraints, keyUsage, extendedKeyUsage, subjectAltName, objection } = certificate.extensions;
  if (objection !== null) return `certificate is refused: ${objection}`;
  if (isEmptyName(certificate.issuer)) return "certificate does not name its issuer";

  const uris = subjectAltName?.uris ?? [];
  // Any second URI is refused, SPIFFE or not: a reader that takes the other one would see another identity.
  if (uris.length !== 1)
    return uris.length === 0 ? "certificate has no URI name" : "certificate has more than one URI name";
  const id = parseSpiffeId(uris[0]!);
  if (typeof id === "string") return id;
  if (id.path === "") return "the identity of a trust domain is not a workload";
  if (isEmptyName(certificate.subject) && subjectAltName?.isCritical !== true)
    return "alternative name is not critical though the subject is empty";

  if (basicConstraints?.isCa === true) return "a CA certificate is not a workload";
  if (keyUsage === null) return "key usage is missing";
  if (!keyUsage.isCritical) return "key usage is not critical";
  if ((keyUsage.bits & keyUsageBits.digitalSignature) === 0) return "key usage lacks digitalSignature";
  if ((keyUsage.bits & keyUsageBits.keyCertSign) !== 0) return "key usage includes keyCertSign";
  if ((keyUsage.bits & keyUsageBits.cRLSign) !== 0) return "key usage includes cRLSign";
  if (extendedKeyUsage !== null) {
    if (!extendedKeyUsage.includes(extendedKeyUsages.serverAuth)) return "extended key usage lacks serverAuth";
    if (!extendedKeyUsage.includes(extendedKeyUsages.clientAuth)) return "extended key usage lacks clientAuth";
  }
  return id;
}
