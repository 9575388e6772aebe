/** Verification of the other side of a connection, whose chain its TLS has verified. Runs in a worker, too. */
import { verifySpiffeLeaf, type LeafExpectation } from "./leaf.ts";
import type { Peer } from "./peer.ts";
import type { IdMatcher, SpiffeId } from "./spiffe-id.ts";

export interface PeerExpectation extends LeafExpectation {
  /** The exact SPIFFE ID dialled, or a rule. Absent: any workload of the trust domain. */
  readonly expected?: string | IdMatcher;
}

/**
 * Who is at the other end, from the chain the runtime's TLS already verified (DER, leaf first). A string is the reason to
 * hang up. Synchronous and about 20 µs: runs on every connection of both sides.
 */
export function verifyPeerChain(chain: readonly Uint8Array[], expectation: PeerExpectation): Peer | string {
  const leaf = chain[0];
  if (leaf === undefined) return "peer sent no certificate";
  const peer = verifySpiffeLeaf(leaf, expectation);
  if (typeof peer === "string" || expectation.expected === undefined) return peer;
  const { expected } = expectation;
  const problem = typeof expected === "string" ? idProblem(peer.id, expected) : expected(peer.id);
  return problem ?? peer;
}

/** `verifyPeerChain` as `ConnectTls.verifyPeer` wants it. `nowMs` gives epoch ms. */
export function peerVerifier(
  trustDomain: string,
  expected: string | IdMatcher,
  nowMs: () => number,
): (chain: readonly Uint8Array[]) => string | null {
  return (chain) => {
    const peer = verifyPeerChain(chain, { trustDomain, expected, nowMs: nowMs() });
    return typeof peer === "string" ? peer : null;
  };
}

function idProblem(id: SpiffeId, expected: string): string | null {
  return id.text === expected ? null : `peer is ${id.text}, expected ${expected}`;
}
