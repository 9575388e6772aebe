/**
 * What a TLS handshake decides, without the ciphers: each side shows its chain, and the other verifies signatures, dates and
 * possession of the key for real. A test that passes here with a certificate nobody signed would prove nothing.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { ConnectTls, ListenTls, TlsIdentity, TlsTrust } from "./contract.ts";

export interface Shown {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
}

/** A chain that `trust` signed and that is valid now, or why not. */
export function verifyShown(identity: TlsIdentity, trust: TlsTrust, nowMs: number): Shown | string {
  const certificates = parseChain(identity.certificateChainPem);
  const [leaf, ...intermediates] = certificates;
  if (leaf === undefined) return "no certificate";
  if (!leaf.checkPrivateKey(createPrivateKey(identity.privateKeyPem))) return "key does not belong to the certificate";
  const roots = trust.rootsPem.map((pem) => new X509Certificate(pem));
  let current = leaf;
  // Ten is deeper than any path our authority issues; the bound is for cycles.
  for (let depth = 0; depth < 10; depth++) {
    if (nowMs > Date.parse(current.validTo)) return "certificate expired";
    if (nowMs < Date.parse(current.validFrom)) return "certificate not yet valid";
    const subject = current;
    const isIssuer = (candidate: X509Certificate): boolean =>
      candidate.ca && subject.checkIssued(candidate) && subject.verify(candidate.publicKey);
    const root = roots.find(isIssuer);
    if (root !== undefined) {
      if (nowMs > Date.parse(root.validTo)) return "certificate not signed by our trust";
      return { chain: [...certificates, root].map(({ raw }) => new Uint8Array(raw)) };
    }
    const next = intermediates.find(isIssuer);
    if (next === undefined) break;
    current = next;
  }
  return "certificate not signed by our trust";
}

/** Why the client refuses what the server showed, or null. */
export function clientRefusal(shown: Shown, tls: ConnectTls, host: string): string | null {
  if (tls.verifyPeer !== undefined) {
    try {
      return tls.verifyPeer(shown.chain);
    } catch (error) {
      return `its identity could not be checked: ${String(error)}`;
    }
  }
  const name = tls.serverName ?? host;
  const leaf = new X509Certificate(shown.chain[0]!);
  const isNamed = isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name);
  return isNamed === undefined ? "certificate has another name" : null;
}

/** The server's first choice among what the client offers (RFC 7301 §3.2); null: nothing agreed; false: nothing in common. */
export function agreeAlpn(server: ListenTls, client: ConnectTls): string | null | false {
  if (server.alpn === undefined || client.alpn === undefined) return null;
  return server.alpn.find((protocol) => client.alpn!.includes(protocol)) ?? false;
}

/** Leaf first. */
export function parseChain(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}
