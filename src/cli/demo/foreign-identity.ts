/** A certificate that says everything right, signed by a CA that this mesh does not know. */
import { systemClock } from "../../clock.ts";
import { initAuthority, openAuthority } from "../../identity/authority.ts";
import { createKeyAndCsr } from "../../identity/csr.ts";
import { requireSpiffeId } from "../../identity/spiffe-id.ts";
import type { TlsIdentity } from "../../runtime/contract.ts";

export async function makeForeignIdentity(spiffeId: string): Promise<TlsIdentity> {
  const id = requireSpiffeId(spiffeId);
  const options = { mesh: "somebody-else", trustDomain: id.trustDomain, clock: systemClock };
  const authority = await openAuthority({ ...options, material: await initAuthority(options) });
  const { privateKeyPem, csrPem } = await createKeyAndCsr(id);
  const { chainPem } = await authority.issue(csrPem, id, { ttlMs: 3_600_000 });
  return { certificateChainPem: chainPem, privateKeyPem };
}
