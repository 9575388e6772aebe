/** Whom a member of the mesh believes to be its control plane. */
import type { Clock } from "../clock.ts";
import type { ConnectTls, TlsIdentity, TlsTrust } from "../runtime/contract.ts";
import { controlId, matchId } from "./spiffe-id.ts";
import { peerVerifier } from "./svid.ts";

/** How anybody connects to the control plane of a mesh: its roots, and nobody but the control plane itself. */
export function controlTls(
  trust: TlsTrust,
  trustDomain: string,
  clock: Clock,
  identity: TlsIdentity | null,
): ConnectTls {
  const verifyPeer = peerVerifier(trustDomain, matchId(controlId(trustDomain).text), () => clock.epochMs());
  return { trust, verifyPeer, ...(identity !== null && { identity }) };
}
