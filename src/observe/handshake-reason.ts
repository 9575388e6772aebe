/** Why a connection was refused, as one of few words: the text of a TLS library holds names that the other side chose. */

export type HandshakeReason =
  | "no_certificate"
  | "expired"
  | "not_yet_valid"
  | "untrusted"
  | "not_spiffe"
  | "wrong_trust_domain"
  | "not_tls"
  | "timeout"
  | "too_many_connections"
  | "closed"
  | "other";

/** Most specific first: a text that says "unable to verify: certificate has expired" is about expiry. */
const words: readonly (readonly [HandshakeReason, readonly string[]])[] = [
  ["too_many_connections", [" connections"]],
  [
    "no_certificate",
    ["no client certificate", "did not return a certificate", "no certificate", "certificate required"],
  ],
  ["not_yet_valid", ["not yet valid", "not_yet_valid"]],
  ["expired", ["expired"]],
  ["wrong_trust_domain", ["belongs to trust domain"]],
  [
    "untrusted",
    [
      "not signed by",
      "not trusted",
      "untrusted",
      "self-signed",
      "self signed",
      "unable to verify",
      "unknown ca",
      "revoked",
      "is no ca",
    ],
  ],
  [
    "not_spiffe",
    [
      "spiffe",
      "alternative name",
      "uri name",
      "trust domain",
      "path ",
      "malformed certificate",
      "key usage",
      "workload",
      "certificate is refused",
      "does not name its issuer",
      "not meant for",
    ],
  ],
  ["timeout", ["timeout", "timed out"]],
  [
    "not_tls",
    ["plaintext", "http request", "wrong version number", "unsupported protocol", "packet length", "unknown protocol"],
  ],
  ["closed", ["hung up", "econnreset", "closed", "disconnected", "eof", "reset"]],
];

export function handshakeReason(text: string): HandshakeReason {
  const lower = text.toLowerCase();
  for (const [reason, parts] of words) if (parts.some((part) => lower.includes(part))) return reason;
  return "other";
}
