/**
 * Certificates for tests, made fresh by @peculiar/x509 and WebCrypto on whichever runtime runs them: nothing expires in a
 * fixture, and no private key lies in the repository.
 */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { TlsIdentity, TlsTrust } from "../../src/runtime/contract.ts";

const HOUR_MS = 3_600_000;
const P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

x509.cryptoProvider.set(crypto);

export interface TestCa {
  readonly name: string;
  readonly certificate: x509.X509Certificate;
  readonly certificatePem: string;
  readonly der: Uint8Array;
  readonly keys: CryptoKeyPair;
  /** PKCS#8 PEM. */
  readonly privateKeyPem: string;
  /** The root of this CA and nothing else; what a side that believes in it takes. */
  readonly trust: TlsTrust;
  /** Intermediates that a leaf of this CA must send, nearest first; empty for a root. */
  readonly intermediatesPem: readonly string[];
}

export interface CaOptions {
  /** Common name. @default "test root" */
  readonly name?: string;
  /** Makes an intermediate signed by this CA. */
  readonly parent?: TestCa;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** basicConstraints pathLenConstraint. */
  readonly pathLength?: number;
}

/** A certificate authority: a root, or with `parent` an intermediate. */
export async function makeCa(options: CaOptions = {}): Promise<TestCa> {
  const {
    name = "test root",
    parent,
    notBefore = new Date(Date.now() - HOUR_MS),
    notAfter = new Date(Date.now() + 24 * HOUR_MS),
    pathLength,
  } = options;
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: makeSerial(),
    subject: `CN=${name}`,
    issuer: parent?.certificate.subject ?? `CN=${name}`,
    notBefore,
    notAfter,
    publicKey: keys.publicKey,
    signingKey: (parent?.keys ?? keys).privateKey,
    signingAlgorithm: P256,
    extensions: [
      new x509.BasicConstraintsExtension(true, pathLength, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create((parent?.keys ?? keys).publicKey),
    ],
  });
  const certificatePem = toPem(certificate);
  return {
    name,
    certificate,
    certificatePem,
    der: new Uint8Array(certificate.rawData),
    keys,
    privateKeyPem: await exportKey(keys.privateKey),
    trust: parent?.trust ?? { rootsPem: [certificatePem] },
    intermediatesPem: parent === undefined ? [] : [certificatePem, ...parent.intermediatesPem],
  };
}

export interface LeafOptions {
  /** URI SANs, in this order: none, one, or (to be refused) several. */
  readonly uri?: string | readonly string[];
  readonly dns?: string | readonly string[];
  readonly ip?: string | readonly string[];
  /** Email SANs; exist only to be refused. */
  readonly email?: string | readonly string[];
  /** Subject; "" leaves it empty (the SAN is then critical, RFC 5280 §4.2.1.6). @default "" */
  readonly commonName?: string;
  /** @default one hour ago */
  readonly notBefore?: Date;
  /** @default in 24 hours */
  readonly notAfter?: Date;
  /** `null` leaves the extension out. @default ["clientAuth", "serverAuth"] */
  readonly extendedKeyUsage?: readonly ("clientAuth" | "serverAuth" | "codeSigning")[] | null;
  /** basicConstraints CA flag; a SPIFFE leaf must not have it. @default false */
  readonly isCa?: boolean;
  /** @default digitalSignature; `null` leaves the extension out */
  readonly keyUsage?: x509.KeyUsageFlags | null;
  /** Signs this key instead of a new one. `privateKeyPem` of the result is then empty unless it can be exported. */
  readonly keys?: CryptoKeyPair;
}

export interface TestLeaf {
  readonly certificate: x509.X509Certificate;
  readonly der: Uint8Array;
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly keys: CryptoKeyPair;
  /** Leaf and the intermediates of its CA, with the key. */
  readonly identity: TlsIdentity;
}

/** A leaf signed by `ca`, by default a fit SPIFFE X509-SVID if `uri` is a SPIFFE ID. */
export async function makeLeaf(ca: TestCa, options: LeafOptions = {}): Promise<TestLeaf> {
  const keys = options.keys ?? (await makeKeys());
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: makeSerial(),
    subject: options.commonName ? `CN=${options.commonName}` : "",
    issuer: ca.certificate.subject,
    notBefore: options.notBefore ?? new Date(Date.now() - HOUR_MS),
    notAfter: options.notAfter ?? new Date(Date.now() + 24 * HOUR_MS),
    publicKey: keys.publicKey,
    signingKey: ca.keys.privateKey,
    signingAlgorithm: P256,
    extensions: await leafExtensions(ca, keys, options),
  });
  const certificatePem = toPem(certificate);
  const privateKeyPem = await exportKey(keys.privateKey);
  return {
    certificate,
    der: new Uint8Array(certificate.rawData),
    certificatePem,
    privateKeyPem,
    keys,
    identity: { certificateChainPem: [certificatePem, ...ca.intermediatesPem].join(""), privateKeyPem },
  };
}

/** The SPIFFE leaf of `service` in the trust domain and namespace that tests use. */
export function makeServiceLeaf(ca: TestCa, service: string, options: LeafOptions = {}): Promise<TestLeaf> {
  return makeLeaf(ca, { uri: spiffeIdOf(service), ...options });
}

export function spiffeIdOf(service: string, namespace = "default", trustDomain = "mesh.local"): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${service}`;
}

async function leafExtensions(ca: TestCa, keys: CryptoKeyPair, options: LeafOptions): Promise<x509.Extension[]> {
  const {
    extendedKeyUsage = ["clientAuth", "serverAuth"],
    isCa = false,
    keyUsage = x509.KeyUsageFlags.digitalSignature,
  } = options;
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(isCa, undefined, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    await x509.AuthorityKeyIdentifierExtension.create(ca.keys.publicKey),
  ];
  if (keyUsage !== null) extensions.push(new x509.KeyUsagesExtension(keyUsage, true));
  if (extendedKeyUsage !== null) {
    extensions.push(new x509.ExtendedKeyUsageExtension(extendedKeyUsage.map((usage) => x509.ExtendedKeyUsage[usage])));
  }
  const names: x509.JsonGeneralNames = [
    ...list(options.uri).map((value) => ({ type: "url" as const, value })),
    ...list(options.dns).map((value) => ({ type: "dns" as const, value })),
    ...list(options.ip).map((value) => ({ type: "ip" as const, value })),
    ...list(options.email).map((value) => ({ type: "email" as const, value })),
  ];
  if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names, !options.commonName));
  return extensions;
}

function makeKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(P256, true, ["sign", "verify"]);
}

/** Positive and 16 octets long (RFC 5280 §4.1.2.2 allows 20). */
function makeSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function toPem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = await crypto.subtle.exportKey("pkcs8", key);
  return `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`;
}

function list(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}
