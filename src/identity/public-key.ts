/** Public keys and signatures of certificates, through WebCrypto. What is not in these tables is not trusted. */
import { DerError, DerReader, hex, tags } from "./der.ts";
import { bufferSource, webCrypto } from "./webcrypto.ts";

export type PublicKeyFacts =
  | { readonly kind: "ec"; readonly curve: "P-256" | "P-384" }
  | { readonly kind: "rsa"; readonly bits: number }
  | { readonly kind: "ed25519" };

// AlgorithmIdentifiers as whole DER, parameters included: RFC 5480 §2.1.1, RFC 5758 §3.2, RFC 4055 §5, RFC 8410 §3.
const curves: Readonly<Record<string, { curve: "P-256" | "P-384"; bytes: number }>> = {
  "301306072a8648ce3d020106082a8648ce3d030107": { curve: "P-256", bytes: 32 },
  "301006072a8648ce3d020106052b81040022": { curve: "P-384", bytes: 48 },
};
const rsaKey = "300d06092a864886f70d0101010500";
const ed25519 = "300506032b6570";

const ecdsaHashes: Readonly<Record<string, string>> = {
  "300a06082a8648ce3d040302": "SHA-256",
  "300a06082a8648ce3d040303": "SHA-384",
  "300a06082a8648ce3d040304": "SHA-512",
};
const rsaHashes: Readonly<Record<string, string>> = {
  "300d06092a864886f70d01010b0500": "SHA-256",
  "300d06092a864886f70d01010c0500": "SHA-384",
  "300d06092a864886f70d01010d0500": "SHA-512",
};

/**
 * What kind of key a SubjectPublicKeyInfo holds; a string is why it is refused: another algorithm, a curve written out, RSA
 * below 2048 or above 4096 bits (verifying with a huge modulus is a way to burn our CPU) or with an exponent other than 65537.
 */
export function readPublicKey(der: Uint8Array): PublicKeyFacts | string {
  try {
    const outer = new DerReader(der);
    const info = outer.read(tags.sequence);
    outer.finish();
    const algorithm = hex(info.element());
    const key = info.octets();
    info.finish();
    const curve = curves[algorithm];
    if (curve !== undefined)
      return key[0] === 0x04 && key.length === 1 + 2 * curve.bytes
        ? { kind: "ec", curve: curve.curve }
        : "EC point is not uncompressed";
    if (algorithm === rsaKey) return rsa(key);
    if (algorithm === ed25519) return key.length === 32 ? { kind: "ed25519" } : "malformed Ed25519 key";
    return "key is neither EC P-256 or P-384, RSA nor Ed25519";
  } catch (error) {
    if (error instanceof DerError) return `malformed public key: ${error.message}`;
    throw error;
  }
}

/** Whether `signature` over `signed` was made with the key. An algorithm that does not fit the key is false, not an error. */
export async function verifySignature(
  publicKey: Uint8Array,
  algorithm: string,
  signed: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const key = readPublicKey(publicKey);
  if (typeof key === "string") return false;
  const plan = verification(key, algorithm, signature);
  if (plan === null) return false;
  const { subtle } = await webCrypto();
  try {
    const imported = await subtle.importKey("spki", bufferSource(publicKey), plan.key, false, ["verify"]);
    return await subtle.verify(plan.use, imported, bufferSource(plan.signature), bufferSource(signed));
  } catch {
    // A point off the curve, or a parameter this platform does not know: nothing it signed can be believed.
    return false;
  }
}

interface Verification {
  readonly key: AlgorithmIdentifier | EcKeyImportParams | RsaHashedImportParams;
  readonly use: AlgorithmIdentifier | EcdsaParams;
  readonly signature: Uint8Array;
}

function verification(key: PublicKeyFacts, algorithm: string, signature: Uint8Array): Verification | null {
  if (key.kind === "ec") {
    const hash = ecdsaHashes[algorithm];
    const raw = rawEcdsa(signature, key.curve === "P-256" ? 32 : 48);
    return hash === undefined || raw === null
      ? null
      : { key: { name: "ECDSA", namedCurve: key.curve }, use: { name: "ECDSA", hash }, signature: raw };
  }
  if (key.kind === "rsa") {
    const hash = rsaHashes[algorithm];
    return hash === undefined
      ? null
      : { key: { name: "RSASSA-PKCS1-v1_5", hash }, use: "RSASSA-PKCS1-v1_5", signature };
  }
  return algorithm === ed25519 ? { key: "Ed25519", use: "Ed25519", signature } : null;
}

/** DER `SEQUENCE { r, s }` as the fixed-width pair WebCrypto wants. */
function rawEcdsa(signature: Uint8Array, width: number): Uint8Array | null {
  try {
    const outer = new DerReader(signature);
    const pair = outer.read(tags.sequence);
    outer.finish();
    const raw = new Uint8Array(2 * width);
    for (const end of [width, 2 * width]) {
      const content = pair.integer();
      if (content[0]! >= 0x80) return null;
      const magnitude = content[0] === 0 ? content.subarray(1) : content;
      if (magnitude.length === 0 || magnitude.length > width) return null;
      raw.set(magnitude, end - magnitude.length);
    }
    pair.finish();
    return raw;
  } catch (error) {
    if (error instanceof DerError) return null;
    throw error;
  }
}

function rsa(key: Uint8Array): PublicKeyFacts | string {
  const outer = new DerReader(key);
  const content = outer.read(tags.sequence);
  outer.finish();
  const modulus = content.integer();
  const exponent = content.integer();
  content.finish();
  if (modulus[0]! >= 0x80) return "RSA modulus is negative";
  const bits = modulus[0] === 0 ? (modulus.length - 1) * 8 : modulus.length * 8 - Math.clz32(modulus[0]!) + 24;
  if (bits < 2048 || bits > 4096) return `RSA key has ${bits} bits, accepted are 2048 to 4096`;
  if (hex(exponent) !== "010001") return "RSA exponent is not 65537";
  return { kind: "rsa", bits };
}
