/**
 * Certificate requests (PKCS #10): what a workload asks with, and what the CA accepts of it. One parser reads what one verifier
 * verified; only the public key ever gets from a request into a certificate.
 *
 * @see RFC 2986
 */
import { MeshError } from "../errors.ts";
import { encodeDer, encodeUnsigned, fromHex } from "./der-write.ts";
import { DerError, DerReader, hex, tags } from "./der.ts";
import { readExtensionList } from "./extensions.ts";
import { decodePem, encodePem } from "./pem.ts";
import { exportPrivateKey, generateKeys } from "./private-key.ts";
import { readPublicKey, verifySignature } from "./public-key.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { bufferSource, webCrypto } from "./webcrypto.ts";

export interface KeyAndCsr {
  /** PKCS #8. */
  readonly privateKeyPem: string;
  readonly csrPem: string;
}

export interface CertificateRequest {
  /** SubjectPublicKeyInfo, DER. Its holder made the request. */
  readonly publicKey: Uint8Array;
  /** URI names it asks for. Never issued because asked for: a difference from what was proved is a reason to refuse. */
  readonly uris: readonly string[];
}

/** A 4096-bit RSA request with a few names has about 2 KB. */
const maxCsrBytes = 8_192;

const oids = {
  extensionRequest: "2a864886f70d01090e",
  subjectAltName: "551d11",
  ecdsaWithSha256: "300a06082a8648ce3d040302",
} as const;

/** A new P-256 key and the request for a certificate over it. The key never leaves this process. */
export async function createKeyAndCsr(id: SpiffeId): Promise<KeyAndCsr> {
  const { subtle } = await webCrypto();
  const keys = await generateKeys();
  const publicKey = new Uint8Array(await subtle.exportKey("spki", keys.publicKey));
  const info = requestInfo(publicKey, id.text);
  const pair = new Uint8Array(
    await subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.privateKey, bufferSource(info)),
  );
  const signature = encodeDer(tags.sequence, encodeUnsigned(pair.subarray(0, 32)), encodeUnsigned(pair.subarray(32)));
  const request = encodeDer(
    tags.sequence,
    info,
    fromHex(oids.ecdsaWithSha256),
    encodeDer(tags.bitString, Uint8Array.of(0), signature),
  );
  return { privateKeyPem: await exportPrivateKey(keys.privateKey), csrPem: encodePem(request, "CERTIFICATE REQUEST") };
}

/**
 * Reads a request and checks that whoever made it holds the key. Cheap refusals come first: a huge key is never computed with.
 *
 * @throws {MeshError} ERR_CSR_DENIED
 */
export async function verifyCsr(csr: string | Uint8Array): Promise<CertificateRequest> {
  const { request, algorithm, signed, signature } = read(derOf(csr));
  const key = readPublicKey(request.publicKey);
  if (typeof key === "string") throw denied(key);
  if (key.kind === "ed25519") throw denied("key is Ed25519, which not every runtime's TLS accepts");
  if (!(await verifySignature(request.publicKey, algorithm, signed, signature)))
    throw denied("its signature does not prove possession of the key");
  return request;
}

function derOf(csr: string | Uint8Array): Uint8Array {
  if (csr.length > (typeof csr === "string" ? 2 : 1) * maxCsrBytes) throw denied("it is too large");
  if (typeof csr !== "string") return csr;
  try {
    return decodePem(csr, "CERTIFICATE REQUEST")[0]!;
  } catch (cause) {
    throw denied("it is not PEM", cause);
  }
}

function read(der: Uint8Array): {
  request: CertificateRequest;
  algorithm: string;
  signed: Uint8Array;
  signature: Uint8Array;
} {
  try {
    const file = new DerReader(der);
    const outer = file.read(tags.sequence);
    file.finish();
    const signed = outer.element();
    const algorithm = hex(outer.element());
    const signature = outer.octets();
    outer.finish();
    const info = new DerReader(signed).read(tags.sequence);
    if (info.smallInteger() !== 0) throw new DerError("unknown version");
    info.element(); // subject: never copied
    const publicKey = info.element();
    const uris = requestedUris(info.readOptional(0xa0));
    info.finish();
    return { request: { publicKey, uris }, algorithm, signed, signature };
  } catch (error) {
    if (error instanceof DerError) throw denied(`it is malformed: ${error.message}`);
    throw error;
  }
}

function requestedUris(attributes: DerReader | null): readonly string[] {
  const uris: string[] = [];
  if (attributes === null) return uris;
  while (!attributes.isDone) {
    const attribute = attributes.read(tags.sequence);
    if (attribute.oid() !== oids.extensionRequest) continue;
    const values = attribute.read(tags.set);
    const extensions = readExtensionList(values.read(tags.sequence));
    values.finish();
    uris.push(...(extensions.subjectAltName?.uris ?? []));
  }
  return uris;
}

function requestInfo(publicKey: Uint8Array, uri: string): Uint8Array {
  const names = encodeDer(tags.sequence, encodeDer(0x86, new TextEncoder().encode(uri)));
  // Critical, as it will be in the certificate: the subject is empty.
  const extension = encodeDer(
    tags.sequence,
    encodeDer(tags.oid, fromHex(oids.subjectAltName)),
    encodeDer(tags.boolean, Uint8Array.of(0xff)),
    encodeDer(tags.octetString, names),
  );
  const attribute = encodeDer(
    tags.sequence,
    encodeDer(tags.oid, fromHex(oids.extensionRequest)),
    encodeDer(tags.set, encodeDer(tags.sequence, extension)),
  );
  return encodeDer(
    tags.sequence,
    encodeUnsigned(Uint8Array.of(0)),
    encodeDer(tags.sequence),
    publicKey,
    encodeDer(0xa0, attribute),
  );
}

function denied(why: string, cause?: unknown): MeshError {
  return new MeshError("ERR_CSR_DENIED", `The certificate request is refused: ${why}`, {
    advice: "Send a PKCS #10 request, self-signed with a P-256, P-384 or RSA (2048 to 4096 bits) key.",
    ...(cause !== undefined && { cause }),
  });
}
