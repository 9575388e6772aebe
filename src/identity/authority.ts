/**
 * The mesh's own CA: root → intermediate → leaf. It issues only the identity that was proved to it; of a request it takes
 * nothing but the public key.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
 */
import type * as X509 from "@peculiar/x509";
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { randomHex } from "../random.ts";
import { readCertificate } from "./certificate.ts";
import { verifyCsr } from "./csr.ts";
import { pathProblem } from "./path.ts";
import { rootFingerprint } from "./fingerprint.ts";
import { decodePem, splitCertificates } from "./pem.ts";
import { exportPrivateKey, generateKeys, importPrivateKey, isKeyPair, keyAlgorithm } from "./private-key.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { generateTokenKey, importTokenKey, type TokenKey } from "./token.ts";
import { bufferSource, webCrypto } from "./webcrypto.ts";

/** What a CA consists of, as text: see `authority-files.ts` for where it lies. */
export interface AuthorityMaterial {
  /** One or more PEM certificates. The first signs; the others are still, or already, believed. */
  readonly rootsPem: string;
  /** PKCS #8, of the first root. Null where it is kept offline: the intermediate then cannot be renewed here. */
  readonly rootKeyPem: string | null;
  readonly intermediatePem: string;
  readonly intermediateKeyPem: string;
  /** Private JWK that signs join and reader tokens. */
  readonly tokenKey: string;
}

export interface AuthorityOptions {
  readonly trustDomain: string;
  readonly mesh: string;
  readonly clock: Clock;
}

export interface OpenAuthorityOptions extends AuthorityOptions {
  readonly material: AuthorityMaterial;
  /** A new intermediate was made; called before it signs anything. */
  readonly saved?: (material: AuthorityMaterial) => Promise<void>;
  /** Each certificate, for the audit log. */
  readonly issued?: (certificate: IssuedCertificate) => void;
}

export interface IssueOptions {
  /** At least one second; cut to the life of the intermediate. */
  readonly ttlMs: number;
  /** Only for servers that others call by name: the control plane. */
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

export interface IssuedCertificate {
  readonly spiffeId: string;
  /** Leaf, then intermediate. */
  readonly chainPem: string;
  readonly notAfterMs: number;
  /** Lower-case hex. */
  readonly serial: string;
}

export interface Authority {
  readonly trustDomain: string;
  readonly mesh: string;
  readonly rootsPem: readonly string[];
  /** "sha256:<hex>" of the root that signs. */
  readonly rootFingerprint: string;
  readonly tokenKey: TokenKey;
  /**
   * Issues a leaf for `id` over the key of a PKCS #10 request (PEM or DER).
   *
   * @throws {MeshError} ERR_CSR_DENIED
   */
  issue(csr: string | Uint8Array, id: SpiffeId, options: IssueOptions): Promise<IssuedCertificate>;
}

const dayMs = 86_400_000;
const rootLifeMs = 3_650 * dayMs;
const intermediateLifeMs = 365 * dayMs;
// Renewed while every leaf it signed has long been replaced before it ends.
const intermediateMarginMs = 30 * dayMs;
// Peers' clocks may be behind ours by this much.
const backdatingMs = 10_000;

/** Makes a new CA. Keys are random; nothing is written. */
export async function initAuthority(options: AuthorityOptions): Promise<AuthorityMaterial> {
  const nowMs = options.clock.epochMs();
  const keys = await generateKeys();
  const root = await signCa({ options, name: `${options.mesh} root`, nowMs, lifeMs: rootLifeMs, keys, issuer: null });
  const material = { rootsPem: toPem(root), rootKeyPem: await exportPrivateKey(keys.privateKey), tokenKey: (await generateTokenKey()).text };
  return { ...material, ...(await makeIntermediate(options, material.rootsPem, keys.privateKey, keys.publicKey)) };
}

/**
 * Takes up a CA whose material was stored.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if the parts do not belong together, have expired, or are of another trust domain
 */
export async function openAuthority(options: OpenAuthorityOptions): Promise<Authority> {
  const { trustDomain, mesh, clock } = options;
  const { rootKeyPem } = options.material;
  await checkRoot(options.material, trustDomain);
  const rootsPem = splitCertificates(options.material.rootsPem);
  const tokenKey = await importTokenKey(options.material.tokenKey);
  const problem = await intermediateProblem(options.material, clock.epochMs());
  if (problem !== null && rootKeyPem === null) throw unusable(problem);
  // With the root's key at hand a broken intermediate is no loss: a crash between its two files leaves one.
  let issuer = problem === null ? await takeUpIssuer(options.material) : await renewed(rootKeyPem!);
  let renewing: Promise<unknown> | null = null;

  async function renewed(rootKey: string): Promise<Issuer> {
    const { X509Certificate } = await x509();
    const root = new X509Certificate(rootsPem[0]!);
    const made = await makeIntermediate(options, rootsPem[0]!, await importPrivateKey(rootKey), await root.publicKey.export(await webCrypto()));
    const next = { ...options.material, ...made };
    await options.saved?.(next);
    return await takeUpIssuer(next);
  }

  return {
    trustDomain,
    mesh,
    rootsPem,
    rootFingerprint: rootFingerprint(rootsPem[0]!),
    tokenKey,
    async issue(csr, id, issueOptions) {
      if (id.trustDomain !== trustDomain || id.path === "") {
        throw new MeshError("ERR_CSR_DENIED", `No certificate for ${id.text}: this CA is of trust domain ${trustDomain}`, {
          advice: `Join a control plane of trust domain ${id.trustDomain}, or ask for an identity of ${trustDomain}.`,
        });
      }
      if (!(issueOptions.ttlMs >= 1000)) throw new RangeError(`Cannot issue a certificate as "ttlMs" must be at least 1000: current value is ${issueOptions.ttlMs}`);
      const request = await verifyCsr(csr);
      if (rootKeyPem !== null && issuer.notAfterMs - clock.epochMs() < intermediateMarginMs) {
        await (renewing ??= renewed(rootKeyPem)
          .then((next) => (issuer = next))
          .finally(() => (renewing = null)));
      }
      const certificate = await signLeaf(issuer, request.publicKey, id, issueOptions, clock.epochMs());
      options.issued?.(certificate);
      return certificate;
    },
  };
}

interface Issuer {
  readonly chainPem: string;
  readonly subject: X509.Name;
  readonly publicKey: X509.PublicKey;
  readonly key: CryptoKey;
  readonly notAfterMs: number;
}

async function takeUpIssuer(material: AuthorityMaterial): Promise<Issuer> {
  const { X509Certificate } = await x509();
  const certificate = new X509Certificate(material.intermediatePem);
  return {
    chainPem: splitCertificates(material.intermediatePem)[0]!,
    subject: certificate.subjectName,
    publicKey: certificate.publicKey,
    key: await importPrivateKey(material.intermediateKeyPem),
    notAfterMs: certificate.notAfter.getTime(),
  };
}

async function signLeaf(issuer: Issuer, publicKey: Uint8Array, id: SpiffeId, options: IssueOptions, nowMs: number): Promise<IssuedCertificate> {
  const { X509CertificateGenerator, PublicKey, SubjectAlternativeNameExtension, ...x } = await x509();
  const crypto = await webCrypto();
  // Seconds are all a certificate knows: rounded up, so that a life of two seconds is not one.
  const notAfterMs = Math.min(Math.ceil((nowMs + options.ttlMs) / 1000) * 1000, issuer.notAfterMs);
  const serial = serialNumber();
  const key = new PublicKey(bufferSource(publicKey));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial,
    subject: "",
    issuer: issuer.subject,
    notBefore: new Date(Math.floor((nowMs - backdatingMs) / 1000) * 1000),
    notAfter: new Date(notAfterMs),
    publicKey: key,
    signingKey: issuer.key,
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x.BasicConstraintsExtension(false, undefined, true),
      new x.KeyUsagesExtension(x.KeyUsageFlags.digitalSignature, true),
      new x.ExtendedKeyUsageExtension([x.ExtendedKeyUsage.serverAuth, x.ExtendedKeyUsage.clientAuth]),
      // Critical because the subject is empty (X509-SVID §2).
      new SubjectAlternativeNameExtension(
        [
          { type: "url", value: id.text },
          ...(options.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
          ...(options.ipAddresses ?? []).map((value) => ({ type: "ip" as const, value })),
        ],
        true,
      ),
      await x.SubjectKeyIdentifierExtension.create(key, false, crypto),
      await x.AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, crypto),
    ],
  }, crypto);
  return { spiffeId: id.text, chainPem: toPem(certificate) + issuer.chainPem, notAfterMs, serial };
}

async function makeIntermediate(options: AuthorityOptions, rootPem: string, rootKey: CryptoKey, rootPublicKey: CryptoKey): Promise<Pick<AuthorityMaterial, "intermediatePem" | "intermediateKeyPem">> {
  const { X509Certificate } = await x509();
  const root = new X509Certificate(rootPem);
  const keys = await generateKeys();
  const nowMs = options.clock.epochMs();
  const lifeMs = Math.min(intermediateLifeMs, root.notAfter.getTime() - nowMs);
  const issuer = { name: root.subjectName, key: rootKey, publicKey: rootPublicKey };
  const certificate = await signCa({ options, name: `${options.mesh} intermediate ${randomHex(4)}`, nowMs, lifeMs, keys, issuer });
  return { intermediatePem: toPem(certificate), intermediateKeyPem: await exportPrivateKey(keys.privateKey) };
}

interface CaRequest {
  readonly options: AuthorityOptions;
  readonly name: string;
  readonly nowMs: number;
  readonly lifeMs: number;
  readonly keys: CryptoKeyPair;
  /** Null: it signs itself. */
  readonly issuer: { readonly name: X509.Name; readonly key: CryptoKey; readonly publicKey: CryptoKey } | null;
}

async function signCa({ options, name, nowMs, lifeMs, keys, issuer }: CaRequest): Promise<X509.X509Certificate> {
  const x = await x509();
  const crypto = await webCrypto();
  const subject = new x.Name([{ O: ["fetchmesh"] }, { CN: [name] }]);
  return await x.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: issuer?.name ?? subject,
    notBefore: new Date(Math.floor((nowMs - backdatingMs) / 1000) * 1000),
    notAfter: new Date(Math.floor((nowMs + lifeMs) / 1000) * 1000),
    publicKey: keys.publicKey,
    signingKey: issuer?.key ?? keys.privateKey,
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x.BasicConstraintsExtension(true, issuer === null ? 1 : 0, true),
      new x.KeyUsagesExtension(x.KeyUsageFlags.keyCertSign | x.KeyUsageFlags.cRLSign, true),
      // The identity of an issuer is its trust domain, without a path: it can never pass for a workload (X509-SVID §4.1).
      new x.SubjectAlternativeNameExtension([{ type: "url", value: `spiffe://${options.trustDomain}` }]),
      await x.SubjectKeyIdentifierExtension.create(keys.publicKey, false, crypto),
      await x.AuthorityKeyIdentifierExtension.create(issuer?.publicKey ?? keys.publicKey, false, crypto),
    ],
  }, crypto);
}

async function checkRoot(material: AuthorityMaterial, trustDomain: string): Promise<void> {
  const root = readCertificate(decodePem(material.rootsPem, "CERTIFICATE")[0]!);
  if (typeof root === "string") throw unusable(`root.pem: ${root}`);
  const uri = root.extensions.subjectAltName?.uris[0];
  if (uri !== `spiffe://${trustDomain}`) {
    throw new MeshError("ERR_OPTION_INVALID", `The CA is of ${uri ?? "no trust domain"}, not of spiffe://${trustDomain}`, {
      advice: "Start with the trust domain the CA was made for, or in another directory.",
    });
  }
  if (material.rootKeyPem !== null && !(await isKeyPair(material.rootKeyPem, root.publicKey))) throw unusable("root.key is not the key of root.pem");
}

async function intermediateProblem(material: AuthorityMaterial, nowMs: number): Promise<string | null> {
  const root = decodePem(material.rootsPem, "CERTIFICATE")[0]!;
  const der = decodePem(material.intermediatePem, "CERTIFICATE")[0]!;
  const certificate = readCertificate(der);
  if (typeof certificate === "string") return `intermediate.pem: ${certificate}`;
  const problem = await pathProblem({ chain: [der], roots: [root], nowMs });
  if (problem !== null) return `intermediate.pem: ${problem}`;
  return (await isKeyPair(material.intermediateKeyPem, certificate.publicKey)) ? null : "intermediate.key is not the key of intermediate.pem";
}

/** 126 random bits after a fixed start that keeps it positive and 16 octets long (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const text = randomHex(16);
  return `${"4567"[Number.parseInt(text[0]!, 16) & 3]}${text.slice(1)}`;
}

function toPem(certificate: X509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function x509(): Promise<typeof X509> {
  // Its dependency injection looks for the polyfill the moment it loads; together they cost a third of a second.
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

function unusable(why: string): MeshError {
  return new MeshError("ERR_OPTION_INVALID", `The stored CA is unusable: ${why}`, { advice: "Restore its directory from a backup, or start with a new one: every workload then has to join again." });
}
