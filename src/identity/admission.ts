/** The control plane's side of a join and of a renewal: proof in, certificate out. Transport and routing are the API's. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Authority, IssuedCertificate } from "./authority.ts";
import { verifyCsr } from "./csr.ts";
import type { Peer } from "./peer.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import type { TokenLedger } from "./token-ledger.ts";
import { verifyJoinToken } from "./token.ts";

export interface AdmissionDeps {
  readonly authority: Authority;
  readonly ledger: TokenLedger;
  readonly clock: Clock;
  /** Life of a workload's certificate. */
  readonly certTtlMs: number;
}

/** Body of the reply to `POST /v1/join` and `POST /v1/renew`. */
export interface AdmissionReply {
  readonly spiffeId: string;
  /** Leaf, then intermediate. */
  readonly chainPem: string;
  /** Every root to believe from now on. */
  readonly rootsPem: readonly string[];
  /** Epoch ms. */
  readonly notAfterMs: number;
}

/**
 * `POST /v1/join`, body `{ "token": …, "csr": PEM }`: a one-time token is exchanged for a certificate of the identity in it.
 * Whatever else the request asks for is not given.
 *
 * @throws {MeshError} ERR_TOKEN_REFUSED, ERR_CSR_DENIED or ERR_REQUEST_MALFORMED
 */
export async function handleJoin(body: unknown, deps: AdmissionDeps): Promise<AdmissionReply> {
  const { token, csr } = fields(body, ["token", "csr"]);
  const { authority, ledger, clock } = deps;
  const claims = await verifyJoinToken(authority.tokenKey, token!, {
    mesh: authority.mesh,
    trustDomain: authority.trustDomain,
    nowMs: clock.epochMs(),
  });
  // Before the token is spent: a caller with a broken request may correct it.
  await checkRequest(csr!, claims.spiffeId);
  if (!(await ledger.consume(claims.tokenId, claims.expiresAtMs))) {
    throw new MeshError("ERR_TOKEN_REFUSED", `The join token for ${claims.spiffeId.text} was used before`, {
      advice: "A join token works once. Ask an operator for a new one: fetchmesh token create --service NAME",
    });
  }
  return await issue(csr!, claims.spiffeId, deps);
}

/**
 * `POST /v1/renew`, body `{ "csr": PEM }`, over mTLS: a peer gets a new certificate of the identity it has just proved.
 *
 * @throws {MeshError} ERR_PEER_UNIDENTIFIED, ERR_CSR_DENIED or ERR_REQUEST_MALFORMED
 */
export async function handleRenew(peer: Peer | null, body: unknown, deps: AdmissionDeps): Promise<AdmissionReply> {
  // The handshake may have been long ago: a connection kept open must not be a way around expiry.
  if (peer === null || peer.isLocal || deps.clock.epochMs() > peer.notAfterMs) {
    throw new MeshError("ERR_PEER_UNIDENTIFIED", "Only a workload with a valid certificate of this mesh can renew it", {
      advice: "Present the current certificate, or join again with a new token: fetchmesh token create --service NAME",
    });
  }
  const { csr } = fields(body, ["csr"]);
  await checkRequest(csr!, peer.id);
  return await issue(csr!, peer.id, deps);
}

async function issue(csr: string, id: SpiffeId, { authority, certTtlMs }: AdmissionDeps): Promise<AdmissionReply> {
  const { spiffeId, chainPem, notAfterMs }: IssuedCertificate = await authority.issue(csr, id, { ttlMs: certTtlMs });
  return { spiffeId, chainPem, rootsPem: authority.rootsPem, notAfterMs };
}

async function checkRequest(csr: string, proved: SpiffeId): Promise<void> {
  const { uris } = await verifyCsr(csr);
  const foreign = uris.find((uri) => uri !== proved.text);
  if (foreign === undefined) return;
  throw new MeshError(
    "ERR_CSR_DENIED",
    `The certificate request asks for ${foreign}, but only ${proved.text} was proved`,
    {
      advice:
        "Use a token made for the service that joins: fetchmesh token create --service NAME --namespace NAMESPACE",
    },
  );
}

function fields(body: unknown, names: readonly string[]): Record<string, string> {
  const given = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = given[name];
    if (typeof value !== "string")
      throw new MeshError("ERR_REQUEST_MALFORMED", `The body has no text "${name}"`, {
        advice: `Send a JSON object with ${names.map((each) => `"${each}"`).join(" and ")}.`,
      });
    found[name] = value;
  }
  return found;
}
