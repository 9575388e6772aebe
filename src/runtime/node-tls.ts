/**
 * How we use `node:tls`: TLS 1.3 only, both sides verified, no resumption, and reasons that a human can act on.
 *
 * Every option that has an insecure or environment-dependent default is written out: `rejectUnauthorized` because
 * NODE_TLS_REJECT_UNAUTHORIZED=0 would open a client that leaves it unset, `SSL_OP_NO_TICKET` because a ticket outlives the
 * certificate it was issued for (a resumed handshake is not verified again).
 */
import { isIP } from "node:net";
import type { ConnectionOptions, PeerCertificate, TLSSocket, TlsOptions } from "node:tls";
import { MeshError } from "../errors.ts";
import type { ConnectTls, ListenTls } from "./contract.ts";
import { clientContextOf, materialOf } from "./node-tls-material.ts";
import { describeSystemError, systemCode } from "./socket-errors.ts";

export function serverOptionsOf(tls: ListenTls, handshakeTimeoutMs: number): TlsOptions {
  return {
    ...materialOf(tls.identity, tls.trust),
    requestCert: tls.clientAuth !== "none",
    // "requested" must let a handshake without a certificate through; one that was presented is judged in `serverRefusal`.
    rejectUnauthorized: tls.clientAuth !== "requested",
    handshakeTimeout: handshakeTimeoutMs,
    ...(tls.alpn !== undefined && { ALPNProtocols: [...tls.alpn] }),
  };
}

export function clientOptionsOf(tls: ConnectTls): ConnectionOptions {
  const { serverName, verifyPeer } = tls;
  return {
    secureContext: clientContextOf(tls.identity, tls.trust),
    minVersion: "TLSv1.3",
    rejectUnauthorized: tls.unverified !== true,
    // RFC 6066 §3: an address is never sent as a server name. The certificate's name check then uses the host dialled.
    ...(serverName !== undefined && isIP(serverName) === 0 && { servername: serverName }),
    ...(tls.alpn !== undefined && { ALPNProtocols: [...tls.alpn] }),
    // A URI-only certificate has no DNS name to check. The real check is `verifyPeer`, after the handshake, where no
    // runtime skips it; the default name check stays in force when nobody gave one.
    ...((verifyPeer !== undefined || tls.unverified === true) && { checkServerIdentity: () => undefined }),
  };
}

/** The verified chain as DER, leaf first. The root is included where the runtime reports it. */
export function peerChain(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate: PeerCertificate | undefined = socket.getPeerCertificate(true);
  // Ten is deeper than any path our trust can build; runtimes mark the end by a self-reference or by nothing.
  while (certificate?.raw !== undefined && chain.length < 10) {
    chain.push(certificate.raw);
    const issuer: PeerCertificate | undefined = (certificate as { issuerCertificate?: PeerCertificate })
      .issuerCertificate;
    if (issuer === certificate) break;
    certificate = issuer;
  }
  return chain;
}

/** Why a finished handshake on our listener is not good enough, or null. */
export function serverRefusal(
  socket: TLSSocket,
  clientAuth: ListenTls["clientAuth"],
  chain: readonly Uint8Array[],
): string | null {
  if (clientAuth === "none") return null;
  if (chain.length === 0) return clientAuth === "required" ? "no client certificate" : null;
  if (!socket.authorized) return refusalOf(codeOf(socket.authorizationError)) ?? "client certificate not trusted";
  // Only Deno's TLS resumes although tickets are off, and a resumed handshake verifies nothing.
  if (socket.isSessionReused()) return "resumed session";
  return null;
}

/** Why a handshake on our listener failed, as a stable phrase for metrics and logs. */
export function handshakeReason(error: Error, socket: TLSSocket | undefined): string {
  const code = systemCode(error);
  // On a refused certificate Node and Deno report a mere hang-up; what they found is left on the socket.
  const verdict = codeOf(socket?.authorizationError);
  return (
    refusalOf(verdict) ??
    (verdict === "" ? null : `certificate not trusted: ${verdict.toLowerCase().replaceAll("_", " ")}`) ??
    refusalOf(code) ??
    (/handshake timeout/i.test(error.message)
      ? "handshake timeout"
      : code === "ECONNRESET" || code === "EPIPE"
        ? "client hung up during the handshake"
        : describeSystemError(error))
  );
}

/** Why our own handshake as a client failed. */
export function clientHandshakeError(address: string, error: Error): MeshError {
  const code = systemCode(error);
  const refusal = refusalOf(code);
  const facts = { sent: "nothing", cause: error } as const;
  if (isCertificateCode(code)) {
    return new MeshError(
      "ERR_UPSTREAM_IDENTITY",
      `${address}: its certificate is refused: ${refusal ?? describeSystemError(error)}`,
      facts,
    );
  }
  if (code.includes("_ALERT_")) {
    const alert = code
      .slice(code.indexOf("_ALERT_") + 7)
      .toLowerCase()
      .replaceAll("_", " ");
    return new MeshError("ERR_CONNECT_FAILED", `${address}: the peer refused the TLS handshake: ${alert}`, facts);
  }
  if (refusal === "plaintext")
    return new MeshError("ERR_CONNECT_FAILED", `${address}: the peer does not speak TLS`, facts);
  return new MeshError(
    "ERR_CONNECT_FAILED",
    `${address}: TLS handshake failed: ${refusal ?? describeSystemError(error)}`,
    facts,
  );
}

function codeOf(authorizationError: unknown): string {
  return typeof authorizationError === "string" ? authorizationError : systemCode(authorizationError);
}

/** UNSPECIFIED is Node's word for verdicts of OpenSSL that it has no name for, such as a leaf that issued a certificate. */
function isCertificateCode(code: string): boolean {
  return /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_(?:CA|PURPOSE)|ERR_TLS_CERT_|HOSTNAME_MISMATCH|PATH_LENGTH|UNSPECIFIED$)/.test(
    code,
  );
}

/** BoringSSL (Bun), OpenSSL (Node) and rustls (Deno) name the same things differently. */
function refusalOf(code: string): string | null {
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return "certificate expired";
    case "CERT_NOT_YET_VALID":
      return "certificate not yet valid";
    case "CERT_REVOKED":
      return "certificate revoked";
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "CERT_SIGNATURE_FAILURE":
    case "CERT_UNTRUSTED":
      return "certificate not signed by our trust";
    case "INVALID_PURPOSE":
      return "certificate not meant for this use";
    case "INVALID_CA":
      return "certificate issued by something that is no CA";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
    case "HOSTNAME_MISMATCH":
      return "certificate has another name";
    case "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE":
      return "no client certificate";
    case "ERR_SSL_HTTP_REQUEST":
    case "ERR_SSL_HTTPS_PROXY_REQUEST":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return "plaintext";
    case "ERR_SSL_UNSUPPORTED_PROTOCOL":
    case "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE":
      return "TLS version or cipher not offered";
    case "ERR_SSL_NO_APPLICATION_PROTOCOL":
      return "no common ALPN protocol";
    case "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA":
    case "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE":
    case "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED":
      return "client refuses our certificate";
    case "ERR_TLS_HANDSHAKE_TIMEOUT":
      return "handshake timeout";
    default:
      return null;
  }
}
