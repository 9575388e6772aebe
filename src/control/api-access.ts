/** Who asks the control plane, and what they may. Everything needs a proof except the public root and the way in (L30). */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Peer } from "../identity/peer.ts";
import { sha256Hex } from "../identity/sha256.ts";
import { verifyReaderToken, type TokenKey } from "../identity/token.ts";

export type Caller =
  | { readonly kind: "operator" }
  | { readonly kind: "peer"; readonly peer: Peer }
  | { readonly kind: "reader"; readonly subject: string }
  | { readonly kind: "anonymous" };

export interface AccessOptions {
  readonly operatorToken: string;
  readonly tokenKey: TokenKey | null;
  readonly mesh: string;
  readonly trustDomain: string;
  readonly clock: Clock;
}

/** One scheme, spelt exactly, one token, nothing around it (L10). */
const bearer = /^Bearer ([A-Za-z0-9._~+/-]{16,4096}=*)$/;

/** @throws {MeshError} ERR_TOKEN_REFUSED if a token is presented and is not good: no fall back to less */
export async function identifyCaller(request: Request, peer: Peer | null, options: AccessOptions): Promise<Caller> {
  const { operatorToken, tokenKey, mesh, trustDomain, clock } = options;
  const authorization = request.headers.get("authorization");
  if (authorization !== null) {
    const token = bearer.exec(authorization)?.[1];
    if (token === undefined) throw refused('write it as "Authorization: Bearer TOKEN"');
    if (isSame(token, operatorToken)) return { kind: "operator" };
    if (tokenKey === null || !token.includes(".")) throw refused("it is not the operator's token of this mesh");
    return { kind: "reader", ...(await verifyReaderToken(tokenKey, token, { mesh, nowMs: clock.epochMs() })) };
  }
  // The handshake may have been long ago: a connection kept open is no way around expiry.
  if (peer !== null && peer.id.trustDomain === trustDomain && clock.epochMs() <= peer.notAfterMs)
    return { kind: "peer", peer };
  return { kind: "anonymous" };
}

/** @throws {MeshError} ERR_PEER_UNIDENTIFIED */
export function requireReader(caller: Caller): void {
  if (caller.kind === "anonymous") throw unidentified();
}

/** @throws {MeshError} ERR_PEER_UNIDENTIFIED, ERR_PEER_FORBIDDEN */
export function requireOperator(caller: Caller): void {
  if (caller.kind === "anonymous") throw unidentified();
  if (caller.kind !== "operator") {
    throw new MeshError("ERR_PEER_FORBIDDEN", "Only an operator may do this", {
      advice: "Present the operator's token: operator.token in the context directory.",
    });
  }
}

/** @throws {MeshError} ERR_PEER_UNIDENTIFIED, ERR_PEER_FORBIDDEN */
export function requirePeer(caller: Caller): Peer {
  if (caller.kind === "peer") return caller.peer;
  if (caller.kind === "anonymous") throw unidentified();
  throw new MeshError("ERR_PEER_FORBIDDEN", "Only a workload may do this, with its own certificate", {
    advice: "Present a client certificate of this mesh instead of a token.",
  });
}

/** Compares digests, whose first differing byte tells nothing about the secret. */
function isSame(given: string, expected: string): boolean {
  const encoder = new TextEncoder();
  const [a, b] = [sha256Hex(encoder.encode(given)), sha256Hex(encoder.encode(expected))];
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

function unidentified(): MeshError {
  return new MeshError(
    "ERR_PEER_UNIDENTIFIED",
    "The control plane answers only to members of the mesh and to operators",
    {
      advice:
        "Present a client certificate of this mesh, the operator's token (operator.token in the context directory), or a reader token: fetchmesh token create.",
    },
  );
}

function refused(why: string): MeshError {
  return new MeshError("ERR_TOKEN_REFUSED", `The token is refused: ${why}`, {
    advice: "The operator's token is in operator.token of the context directory.",
  });
}
