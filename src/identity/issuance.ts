/**
 * Writes certificates, with @peculiar/x509: the only file that loads it, when the first certificate is written. What goes into
 * them is decided in `authority.ts`.
 */
import type * as X509 from "@peculiar/x509";
import { randomHex } from "../random.ts";
import { encodePem, splitCertificates } from "./pem.ts";
import { exportPrivateKey, generateKeys, importPrivateKey, keyAlgorithm } from "./private-key.ts";
import { bufferSource, webCrypto } from "./webcrypto.ts";

/** A CA certificate with its key, ready to sign. */
export interface Issuer {
  readonly certificate: X509.X509Certificate;
  readonly key: CryptoKey;
  readonly pem: string;
  readonly notAfterMs: number;
}

export interface CaFacts {
  readonly trustDomain: string;
  /** Common name. */
  readonly name: string;
  readonly nowMs: number;
  readonly lifeMs: number;
  /** Null: it signs itself. */
  readonly issuer: Issuer | null;
}

export interface LeafFacts {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly uri: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly nowMs: number;
  /** Whole seconds. */
  readonly notAfterMs: number;
}

// Peers' clocks may be behind ours by this much.
const backdatingMs = 10_000;

export async function openIssuer(certificatePem: string, privateKeyPem: string): Promise<Issuer> {
  const { X509Certificate } = await x509();
  const certificate = new X509Certificate(certificatePem);
  return {
    certificate,
    key: await importPrivateKey(privateKeyPem),
    pem: splitCertificates(certificatePem)[0]!,
    notAfterMs: certificate.notAfter.getTime(),
  };
}

/** A new key and the CA certificate over it: a root, or an intermediate that signs only leaves. */
export async function writeCa(
  facts: CaFacts,
): Promise<{ readonly certificatePem: string; readonly privateKeyPem: string }> {
  const { trustDomain, name, nowMs, lifeMs, issuer } = facts;
  const x = await x509();
  const crypto = await webCrypto();
  const keys = await generateKeys();
  const subject = new x.Name([{ O: ["fetchmesh"] }, { CN: [name] }]);
  const certificate = await x.X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject,
      issuer: issuer?.certificate.subjectName ?? subject,
      notBefore: notBefore(nowMs),
      notAfter: new Date(Math.min(Math.floor((nowMs + lifeMs) / 1000) * 1000, issuer?.notAfterMs ?? Infinity)),
      publicKey: keys.publicKey,
      signingKey: issuer?.key ?? keys.privateKey,
      signingAlgorithm: keyAlgorithm,
      extensions: [
        new x.BasicConstraintsExtension(true, issuer === null ? 1 : 0, true),
        new x.KeyUsagesExtension(x.KeyUsageFlags.keyCertSign | x.KeyUsageFlags.cRLSign, true),
        // An issuer's identity is its trust domain, without a path: it can never pass for a workload (X509-SVID §4.1).
        new x.SubjectAlternativeNameExtension([{ type: "url", value: `spiffe://${trustDomain}` }]),
        await x.SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
        await x.AuthorityKeyIdentifierExtension.create(issuer?.certificate.publicKey ?? keys.publicKey, false, crypto),
      ],
    },
    crypto,
  );
  return { certificatePem: toPem(certificate), privateKeyPem: await exportPrivateKey(keys.privateKey) };
}

/** An X509-SVID leaf. */
export async function writeLeaf(
  issuer: Issuer,
  facts: LeafFacts,
): Promise<{ readonly certificatePem: string; readonly serial: string }> {
  const x = await x509();
  const crypto = await webCrypto();
  const serial = serialNumber();
  const publicKey = new x.PublicKey(bufferSource(facts.publicKey));
  const certificate = await x.X509CertificateGenerator.create(
    {
      serialNumber: serial,
      subject: "",
      issuer: issuer.certificate.subjectName,
      notBefore: notBefore(facts.nowMs),
      notAfter: new Date(facts.notAfterMs),
      publicKey,
      signingKey: issuer.key,
      signingAlgorithm: keyAlgorithm,
      extensions: [
        new x.BasicConstraintsExtension(false, undefined, true),
        new x.KeyUsagesExtension(x.KeyUsageFlags.digitalSignature, true),
        new x.ExtendedKeyUsageExtension([x.ExtendedKeyUsage.serverAuth, x.ExtendedKeyUsage.clientAuth]),
        // Critical because the subject is empty (X509-SVID §2).
        new x.SubjectAlternativeNameExtension(
          [
            { type: "url", value: facts.uri },
            ...facts.dnsNames.map((value) => ({ type: "dns" as const, value })),
            ...facts.ipAddresses.map((value) => ({ type: "ip" as const, value })),
          ],
          true,
        ),
        await x.SubjectKeyIdentifierExtension.create(publicKey, false, crypto),
        await x.AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey, false, crypto),
      ],
    },
    crypto,
  );
  return { certificatePem: toPem(certificate), serial };
}

function notBefore(nowMs: number): Date {
  return new Date(Math.floor((nowMs - backdatingMs) / 1000) * 1000);
}

/** 126 random bits after a fixed start that keeps it positive and 16 octets long (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const text = randomHex(16);
  return `${"4567"[Number.parseInt(text[0]!, 16) & 3]}${text.slice(1)}`;
}

function toPem(certificate: X509.X509Certificate): string {
  return encodePem(new Uint8Array(certificate.rawData), "CERTIFICATE");
}

async function x509(): Promise<typeof X509> {
  // Its dependency injection looks for the polyfill the moment it loads; together they cost a third of a second.
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}
