/**
 * Tokens the control plane signs and reads itself: one-time join tokens and reader tokens of the edge. ES256 with the CA's
 * token key, and nothing else: the algorithm is ours to say, never the token's (RFC 8725 §3.1).
 */
import { errors, exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT, type JWK, type JWTPayload } from "jose";
import { MeshError } from "../errors.ts";
import { randomHex } from "../random.ts";
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";

export interface TokenKey {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  /** Private JWK as JSON text, to be stored. */
  readonly text: string;
}

export interface JoinTokenRequest {
  readonly mesh: string;
  /** Who the bearer may become. */
  readonly spiffeId: SpiffeId;
  /** "sha256:<hex>" of the root certificate: the bearer talks to nobody else's control plane. */
  readonly rootFingerprint: string;
  /** Where to join; null leaves that to the bearer. */
  readonly control: string | null;
  /** 1 s to 24 h. */
  readonly ttlMs: number;
  /** Epoch ms. */
  readonly nowMs: number;
}

export interface JoinClaims {
  readonly spiffeId: SpiffeId;
  /** 128 random bits: what "used" is remembered by. Never the token's text, which can be spelt in several ways. */
  readonly tokenId: string;
  readonly expiresAtMs: number;
}

/** What the bearer reads of its token without being able to verify it. */
export interface JoinHint {
  readonly spiffeId: SpiffeId;
  readonly mesh: string;
  readonly rootFingerprint: string;
  readonly control: string | null;
}

export interface ReaderTokenRequest {
  readonly mesh: string;
  /** Who reads: for the log. */
  readonly subject: string;
  readonly ttlMs: number;
  readonly nowMs: number;
}

/** The longest a join token may live: it is a key to an identity, lying in somebody's shell history. */
export const joinTokenMaxTtlMs = 86_400_000;
/** Reader tokens only read; an edge deployment keeps one for a while. */
export const readerTokenMaxTtlMs = 366 * 86_400_000;

const algorithm = "ES256";
const joinAudience = "fetchmesh-join";
const readAudience = "fetchmesh-read";
// An explicit type keeps one kind of token from being taken for another (RFC 8725 §3.11).
const joinType = "fetchmesh-join+jwt";
const readType = "fetchmesh-read+jwt";
// jose tolerates spaces, padding and stray characters in base64url; we do not.
const compact = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const maxTokenLength = 4_096;
const fingerprint = /^sha256:[0-9a-f]{64}$/;
// Between replicas of the control plane. Expiry gets none: who signs and who checks share a clock.
const issuedAtLeewayMs = 60_000;

export async function generateTokenKey(): Promise<TokenKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  return { privateKey, publicKey, text: JSON.stringify(await exportJWK(privateKey)) };
}

/** @throws {MeshError} ERR_OPTION_INVALID if the text is not a private P-256 JWK */
export async function importTokenKey(text: string): Promise<TokenKey> {
  try {
    const jwk = JSON.parse(text) as JWK;
    if (jwk.kty !== "EC" || jwk.crv !== "P-256" || typeof jwk.d !== "string")
      throw new TypeError("not a private P-256 key");
    const { d: _, ...open } = jwk;
    const [privateKey, publicKey] = await Promise.all([importKey(jwk), importKey(open)]);
    return { privateKey, publicKey, text };
  } catch (cause) {
    throw new MeshError("ERR_OPTION_INVALID", "The CA's token key is unusable", {
      cause,
      advice:
        "Restore ca/token.key from a backup, or remove it and start again: tokens handed out before will be refused.",
    });
  }
}

async function importKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, algorithm);
  if (key instanceof Uint8Array) throw new TypeError("a symmetric key");
  return key;
}

/** @throws {MeshError} ERR_REQUEST_MALFORMED if the lifetime is out of bounds */
export async function createJoinToken(key: TokenKey, request: JoinTokenRequest): Promise<string> {
  const { mesh, spiffeId, rootFingerprint, control, ttlMs, nowMs } = request;
  const claims = { root: rootFingerprint, ...(control !== null && { control }) };
  return await sign(
    key,
    joinType,
    joinAudience,
    mesh,
    spiffeId.text,
    claims,
    nowMs,
    checkedTtl(ttlMs, joinTokenMaxTtlMs),
  );
}

/** @throws {MeshError} ERR_TOKEN_REFUSED; whether it was used before is the ledger's to say */
export async function verifyJoinToken(
  key: TokenKey,
  token: string,
  expectation: { readonly mesh: string; readonly trustDomain: string; readonly nowMs: number },
): Promise<JoinClaims> {
  const claims = await verify(
    key,
    token,
    joinType,
    joinAudience,
    expectation.mesh,
    expectation.nowMs,
    joinTokenMaxTtlMs,
  );
  const id = parseSpiffeId(claims.sub);
  if (typeof id === "string" || id.path === "" || id.trustDomain !== expectation.trustDomain)
    throw refused("it names no workload of this trust domain");
  return { spiffeId: id, tokenId: claims.jti, expiresAtMs: claims.exp * 1000 };
}

/**
 * What a token says of where to go, unverified: its bearer was handed it and has no key. A forged one leads to a control
 * plane that does not prove the root it names, or to one that refuses it.
 *
 * @throws {MeshError} ERR_TOKEN_REFUSED if it is no join token
 */
export function readJoinToken(token: string): JoinHint {
  try {
    const body = checkedCompact(token).split(".")[1]!;
    const claims = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(base64Url(body))) as Record<
      string,
      unknown
    >;
    const { sub, root, control = null, aud, iss } = claims;
    const id = typeof sub === "string" ? parseSpiffeId(sub) : "no subject";
    const isUsable =
      typeof id !== "string" && aud === joinAudience && typeof root === "string" && fingerprint.test(root);
    if (isUsable && typeof iss === "string" && (control === null || typeof control === "string"))
      return { spiffeId: id, mesh: iss, rootFingerprint: root, control };
  } catch (error) {
    if (error instanceof MeshError) throw error;
  }
  throw refused("it is not a join token");
}

/** A token with which an edge pulls snapshots from the control plane. */
export async function createReaderToken(key: TokenKey, request: ReaderTokenRequest): Promise<string> {
  const { mesh, subject, ttlMs, nowMs } = request;
  return await sign(
    key,
    readType,
    readAudience,
    mesh,
    subject,
    { scope: "read" },
    nowMs,
    checkedTtl(ttlMs, readerTokenMaxTtlMs),
  );
}

/** @throws {MeshError} ERR_TOKEN_REFUSED */
export async function verifyReaderToken(
  key: TokenKey,
  token: string,
  expectation: { readonly mesh: string; readonly nowMs: number },
): Promise<{ readonly subject: string }> {
  const claims = await verify(
    key,
    token,
    readType,
    readAudience,
    expectation.mesh,
    expectation.nowMs,
    readerTokenMaxTtlMs,
  );
  if (claims["scope"] !== "read") throw refused("it does not allow reading");
  return { subject: claims.sub };
}

function sign(
  key: TokenKey,
  typ: string,
  audience: string,
  mesh: string,
  subject: string,
  claims: JWTPayload,
  nowMs: number,
  ttlMs: number,
): Promise<string> {
  const issuedAt = Math.floor(nowMs / 1000);
  return new SignJWT(claims)
    .setProtectedHeader({ alg: algorithm, typ })
    .setIssuer(mesh)
    .setAudience(audience)
    .setSubject(subject)
    .setJti(randomHex(16))
    .setIssuedAt(issuedAt)
    .setExpirationTime(Math.ceil((nowMs + ttlMs) / 1000))
    .sign(key.privateKey);
}

type Claims = JWTPayload & { readonly sub: string; readonly jti: string; readonly exp: number; readonly iat: number };

async function verify(
  key: TokenKey,
  token: string,
  typ: string,
  audience: string,
  mesh: string,
  nowMs: number,
  maxTtlMs: number,
): Promise<Claims> {
  let verified;
  try {
    verified = await jwtVerify(checkedCompact(token), key.publicKey, {
      algorithms: [algorithm],
      typ,
      audience,
      issuer: mesh,
      currentDate: new Date(nowMs),
      requiredClaims: ["exp", "iat", "jti", "sub"],
    });
  } catch (error) {
    throw error instanceof MeshError ? error : refused(why(error), error);
  }
  const { payload, protectedHeader } = verified;
  // Nothing else has a meaning here, and `jku`, `jwk`, `x5u` and `crit` have been used to give one (RFC 8725 §3.10).
  if (Object.keys(protectedHeader).some((name) => name !== "alg" && name !== "typ" && name !== "kid"))
    throw refused("its header holds more than alg, typ and kid");
  const { sub, jti, exp, iat } = payload;
  if (
    typeof sub !== "string" ||
    typeof jti !== "string" ||
    jti.length < 32 ||
    jti.length > 64 ||
    exp === undefined ||
    iat === undefined
  )
    throw refused("a claim is missing");
  // Both are whole seconds, so the difference may be one more than what was asked for.
  if ((exp - iat - 1) * 1000 > maxTtlMs || iat * 1000 > nowMs + issuedAtLeewayMs)
    throw refused("its lifetime is not one we give");
  return payload as Claims;
}

function why(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "it has expired";
  if (error instanceof errors.JWTClaimValidationFailed) return `its claim "${error.claim}" is not what it must be`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return "this mesh's control plane did not sign it";
  if (error instanceof errors.JOSEAlgNotAllowed) return `it is not signed with ${algorithm}`;
  return "it is malformed";
}

function checkedCompact(token: string): string {
  if (token.length > maxTokenLength || !compact.test(token)) throw refused("it is malformed");
  return token;
}

function checkedTtl(ttlMs: number, maxMs: number): number {
  if (ttlMs >= 1000 && ttlMs <= maxMs) return ttlMs;
  throw new MeshError("ERR_REQUEST_MALFORMED", `A token cannot live for ${ttlMs} ms`, {
    advice: `Ask for a time between 1 s and ${maxMs / 3_600_000} h.`,
  });
}

function base64Url(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}

function refused(reason: string, cause?: unknown): MeshError {
  return new MeshError("ERR_TOKEN_REFUSED", `The token is refused: ${reason}`, {
    advice: "Ask an operator for a new one: fetchmesh token create --service NAME",
    ...(cause !== undefined && { cause }),
  });
}
