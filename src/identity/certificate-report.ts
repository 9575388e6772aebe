/** Certificates in use, as the admin API shows them. */
import type { CertificateReport } from "../observe/admin.ts";
import { readCertificate } from "./certificate.ts";
import { spiffeIdOfLeaf } from "./leaf.ts";
import { decodePem } from "./pem.ts";
import { sha256Hex } from "./sha256.ts";
import type { WorkloadState } from "./workload.ts";

/** The leaf first, then the roots that peers must chain to. */
export function reportCertificates(state: WorkloadState): readonly CertificateReport[] {
  const [leaf] = decodePem(state.identity.certificateChainPem, "CERTIFICATE");
  const roots = state.trust.rootsPem.flatMap((pem) => decodePem(pem, "CERTIFICATE"));
  return [...(leaf === undefined ? [] : [report("workload", leaf)]), ...roots.map((der) => report("root", der))];
}

function report(kind: CertificateReport["kind"], der: Uint8Array): CertificateReport {
  const certificate = readCertificate(der);
  const fingerprint = sha256Hex(der);
  // Both were verified before they were used: this is a report, not a check.
  if (typeof certificate === "string")
    return { kind, spiffeId: "", serialNumber: "", notBefore: "", notAfter: "", fingerprint };
  const id = spiffeIdOfLeaf(certificate);
  return {
    kind,
    spiffeId: typeof id === "string" ? (certificate.extensions.subjectAltName?.uris[0] ?? "") : id.text,
    serialNumber: certificate.serial,
    notBefore: new Date(certificate.notBeforeMs).toISOString(),
    notAfter: new Date(certificate.notAfterMs).toISOString(),
    fingerprint,
  };
}
