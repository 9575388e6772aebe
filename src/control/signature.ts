/**
 * The control plane's signature under what it publishes: a store carries config, it is not trusted to be right (R10). ES256
 * and nothing else; the key is not in the store.
 */
import { CompactSign, compactVerify, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { MeshError } from "../errors.ts";
import { isSigned, maxBodyChars, openUnverified } from "./signed-body.ts";

const algorithm = "ES256";
// An explicit type keeps a token of this mesh from passing for its config (RFC 8725 §3.11).
const type = "fetchmesh-config+jws";

export interface ConfigKey {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  /** Private JWK as JSON text, to be stored. */
  readonly text: string;
  /** What sidecars verify with. */
  readonly publicJwk: PublicJwk;
}

export interface PublicJwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y: string;
}

export async function generateConfigKey(): Promise<ConfigKey> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  return importConfigKey(JSON.stringify(await exportJWK(privateKey)));
}

/** @throws {MeshError} ERR_OPTION_INVALID if the text is not a private P-256 JWK */
export async function importConfigKey(text: string): Promise<ConfigKey> {
  try {
    const jwk = JSON.parse(text) as JWK;
    if (typeof jwk.d !== "string") throw new TypeError("not a private key");
    const publicJwk = { kty: jwk.kty ?? "", crv: jwk.crv ?? "", x: jwk.x ?? "", y: jwk.y ?? "" };
    return {
      privateKey: await importKey(jwk),
      publicKey: await importConfigPublicKey(publicJwk),
      text,
      publicJwk,
    };
  } catch (cause) {
    throw new MeshError("ERR_OPTION_INVALID", "The key that signs config is unusable", {
      cause,
      advice:
        "Restore ca/config.key.json from a backup, or remove it and start again: sidecars learn the new one when they renew.",
    });
  }
}

/** @throws {MeshError} ERR_OPTION_INVALID if it is not a public P-256 JWK */
export async function importConfigPublicKey({ kty, crv, x, y }: PublicJwk): Promise<CryptoKey> {
  if (kty !== "EC" || crv !== "P-256")
    throw new MeshError("ERR_OPTION_INVALID", "Config is signed with P-256 keys only");
  return importKey({ kty, crv, x, y });
}

async function importKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, algorithm);
  if (key instanceof Uint8Array) throw new TypeError("a symmetric key");
  return key;
}

/** A compact JWS around an envelope's text. */
export function signSnapshot(text: string, key: ConfigKey): Promise<string> {
  return new CompactSign(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: algorithm, typ: type })
    .sign(key.privateKey);
}

/**
 * The envelope's text, its signature checked if there is a key. Without a key nothing can be checked; unsigned bodies are
 * taken unless `required`.
 *
 * @throws {MeshError} ERR_STORE_CORRUPT
 */
export async function verifySnapshot(
  body: string,
  key: CryptoKey | null,
  options: { readonly required?: boolean } = {},
): Promise<string> {
  if (body.length > maxBodyChars) throw new MeshError("ERR_STORE_CORRUPT", "the signed body is too large");
  if (!isSigned(body)) {
    if (options.required)
      throw new MeshError("ERR_STORE_CORRUPT", "it is not signed, and this mesh takes only signed config");
    return body;
  }
  if (key === null) {
    if (options.required) throw new MeshError("ERR_STORE_CORRUPT", "its signature cannot be verified: no key is known");
    return openUnverified(body);
  }
  try {
    const { payload, protectedHeader } = await compactVerify(body, key, { algorithms: [algorithm] });
    if (protectedHeader.typ !== type) throw new TypeError("not a config signature");
    return new TextDecoder("utf-8", { fatal: true }).decode(payload);
  } catch (cause) {
    throw new MeshError("ERR_STORE_CORRUPT", "this mesh's control plane did not sign it", { cause });
  }
}
