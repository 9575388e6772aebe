/** What identity tests share: a CA, a server's identity, certificates as DER. */
import { systemClock, type Clock } from "../../src/clock.ts";
import { initAuthority, openAuthority, type Authority } from "../../src/identity/authority.ts";
import { createKeyAndCsr } from "../../src/identity/csr.ts";
import { decodePem } from "../../src/identity/pem.ts";
import type { SpiffeId } from "../../src/identity/spiffe-id.ts";
import type { TlsIdentity } from "../../src/runtime/contract.ts";

export async function makeAuthority(trustDomain = "mesh.local", clock: Clock = systemClock): Promise<Authority> {
  const options = { trustDomain, mesh: "default", clock };
  return await openAuthority({ ...options, material: await initAuthority(options) });
}

/** A serving certificate with the names that a client on this machine may use. */
export async function serverIdentity(authority: Authority, id: SpiffeId): Promise<TlsIdentity> {
  const { privateKeyPem, csrPem } = await createKeyAndCsr(id);
  const { chainPem } = await authority.issue(csrPem, id, {
    ttlMs: 3_600_000,
    dnsNames: ["localhost"],
    ipAddresses: ["127.0.0.1"],
  });
  return { certificateChainPem: chainPem, privateKeyPem };
}

export function certificateDer(pem: string): Uint8Array[] {
  return decodePem(pem, "CERTIFICATE");
}
