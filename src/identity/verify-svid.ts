/** Verification of SVIDs that no TLS stack has looked at: from files, from a join, from a renewal. */
import { readCertificate } from "./certificate.ts";
import { spiffeIdOfLeaf } from "./leaf.ts";
import { pathProblem, type PathOptions } from "./path.ts";
import type { SpiffeId } from "./spiffe-id.ts";

/** Complete validation without a TLS stack: the path to a root, then the SPIFFE rules. A string is the reason to refuse. */
export async function verifySvid(options: PathOptions): Promise<SpiffeId | string> {
  const problem = await pathProblem(options);
  if (problem !== null) return problem;
  const certificate = readCertificate(options.chain[0]!);
  return typeof certificate === "string" ? certificate : spiffeIdOfLeaf(certificate);
}
