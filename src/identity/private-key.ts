/** Private keys as PKCS #8 PEM: the one form that every TLS stack and WebCrypto share. */
import { MeshError } from "../errors.ts";
import { decodePem, encodePem } from "./pem.ts";
import { readPublicKey, type PublicKeyFacts } from "./public-key.ts";
import { bufferSource, webCrypto } from "./webcrypto.ts";

/** P-256 with SHA-256: what every runtime's TLS and WebCrypto signs fast. */
export const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A new key pair whose private half can be written to a file. */
export async function generateKeys(): Promise<CryptoKeyPair> {
  const { subtle } = await webCrypto();
  return await subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
}

export async function exportPrivateKey(key: CryptoKey): Promise<string> {
  const { subtle } = await webCrypto();
  return encodePem(new Uint8Array(await subtle.exportKey("pkcs8", key)), "PRIVATE KEY");
}

/** A P-256 key of ours, for signing. @throws {MeshError} ERR_OPTION_INVALID */
export async function importPrivateKey(pem: string): Promise<CryptoKey> {
  const { subtle } = await webCrypto();
  try {
    return await subtle.importKey("pkcs8", bufferSource(privateKeyDer(pem)), keyAlgorithm, false, ["sign"]);
  } catch (cause) {
    throw MeshError.from(cause).code === "ERR_OPTION_INVALID"
      ? (cause as MeshError)
      : new MeshError("ERR_OPTION_INVALID", "The private key is not a P-256 key", { cause });
  }
}

/** Whether a private key belongs to a certificate's public key: signs something with one and verifies it with the other. */
export async function isKeyPair(privateKeyPem: string, publicKey: Uint8Array): Promise<boolean> {
  const facts = readPublicKey(publicKey);
  if (typeof facts === "string") return false;
  const { subtle } = await webCrypto();
  const [imported, use] = parameters(facts);
  const probe = new TextEncoder().encode("fetchmesh: is this pair a pair?");
  try {
    const signer = await subtle.importKey("pkcs8", bufferSource(privateKeyDer(privateKeyPem)), imported, false, [
      "sign",
    ]);
    const verifier = await subtle.importKey("spki", bufferSource(publicKey), imported, false, ["verify"]);
    return await subtle.verify(use, verifier, await subtle.sign(use, signer, probe), probe);
  } catch (error) {
    if (error instanceof MeshError) throw error;
    // The key is of another kind than the certificate's.
    return false;
  }
}

function privateKeyDer(pem: string): Uint8Array {
  if (/-----BEGIN (?:EC|RSA) PRIVATE KEY-----/.test(pem)) {
    throw new MeshError("ERR_OPTION_INVALID", "The private key is in its algorithm's old format, not in PKCS #8", {
      advice: "Convert it: openssl pkcs8 -topk8 -nocrypt -in OLD.pem -out NEW.pem",
    });
  }
  return decodePem(pem, "PRIVATE KEY")[0]!;
}

function parameters(
  facts: PublicKeyFacts,
): [EcKeyImportParams | RsaHashedImportParams | AlgorithmIdentifier, EcdsaParams | AlgorithmIdentifier] {
  if (facts.kind === "ec")
    return [
      { name: "ECDSA", namedCurve: facts.curve },
      { name: "ECDSA", hash: "SHA-256" },
    ];
  if (facts.kind === "rsa") return [{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, "RSASSA-PKCS1-v1_5"];
  return ["Ed25519", "Ed25519"];
}
