/**
 * The mesh's own CA: root → intermediate → leaf. It issues only the identity that was proved to it; of a request it takes
 * nothing but the public key.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
 */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { randomHex } from "../random.ts";
import { readCertificate } from "./certificate.ts";
import { verifyCsr } from "./csr.ts";
import { openIssuer, writeCa, writeLeaf, type Issuer } from "./issuance.ts";
import { pathProblem } from "./path.ts";
import { rootFingerprint } from "./fingerprint.ts";
import { decodePem, splitCertificates } from "./pem.ts";
import { isKeyPair } from "./private-key.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { generateTokenKey, importTokenKey, type TokenKey } from "./token.ts";

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
  /** The intermediate could not be renewed; the next request tries again. */
  readonly failed?: (error: unknown) => void;
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

/** Makes a new CA. Keys are random; nothing is written. */
export async function initAuthority(options: AuthorityOptions): Promise<AuthorityMaterial> {
  const { trustDomain, mesh, clock } = options;
  const name = `${mesh} root`;
  const root = await writeCa({ trustDomain, name, nowMs: clock.epochMs(), lifeMs: rootLifeMs, issuer: null });
  return {
    rootsPem: root.certificatePem,
    rootKeyPem: root.privateKeyPem,
    tokenKey: (await generateTokenKey()).text,
    ...(await makeIntermediate(options, root.certificatePem, root.privateKeyPem)),
  };
}

/**
 * Takes up a CA whose material was stored.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if the parts do not belong together, have expired, or are of another trust domain
 */
export async function openAuthority(options: OpenAuthorityOptions): Promise<Authority> {
  const { trustDomain, mesh, clock, material } = options;
  const { rootKeyPem } = material;
  await checkRoot(material, trustDomain);
  const rootsPem = splitCertificates(material.rootsPem);
  const tokenKey = await importTokenKey(material.tokenKey);
  const problem = await intermediateProblem(material, clock.epochMs());
  if (problem !== null && rootKeyPem === null) throw unusable(problem);
  // With the root's key at hand a broken intermediate is no loss: a crash between its two files leaves one.
  let issuer =
    problem === null
      ? await openIssuer(material.intermediatePem, material.intermediateKeyPem)
      : await renewIssuer(rootKeyPem!);
  let renewing: Promise<unknown> | null = null;

  async function renewIssuer(rootKey: string): Promise<Issuer> {
    const made = await makeIntermediate(options, rootsPem[0]!, rootKey);
    await options.saved?.({ ...material, ...made });
    return await openIssuer(made.intermediatePem, made.intermediateKeyPem);
  }

  return {
    trustDomain,
    mesh,
    rootsPem,
    rootFingerprint: rootFingerprint(rootsPem[0]!),
    tokenKey,
    async issue(csr, id, { ttlMs, dnsNames = [], ipAddresses = [] }) {
      checkIdentity(id, trustDomain);
      if (!(ttlMs >= 1000)) {
        throw new RangeError(`Cannot issue a certificate as "ttlMs" must be at least 1000: current value is ${ttlMs}`);
      }
      const { publicKey } = await verifyCsr(csr);
      if (rootKeyPem !== null && issuer.notAfterMs - clock.epochMs() < intermediateMarginMs) {
        renewing ??= renewIssuer(rootKeyPem)
          .then((next) => (issuer = next))
          // The old one still has weeks: a full disk must not stop the mesh today.
          .catch((error: unknown) => options.failed?.(error))
          .finally(() => (renewing = null));
        await renewing;
      }
      const nowMs = clock.epochMs();
      // Seconds are all a certificate knows: rounded up, so that a life of two seconds is not one.
      const notAfterMs = Math.min(Math.ceil((nowMs + ttlMs) / 1000) * 1000, issuer.notAfterMs);
      const leaf = { publicKey, uri: id.text, dnsNames, ipAddresses, nowMs, notAfterMs };
      const { certificatePem, serial } = await writeLeaf(issuer, leaf);
      const issued = { spiffeId: id.text, chainPem: certificatePem + issuer.pem, notAfterMs, serial };
      options.issued?.(issued);
      return issued;
    },
  };
}

async function makeIntermediate(
  { trustDomain, mesh, clock }: AuthorityOptions,
  rootPem: string,
  rootKeyPem: string,
): Promise<Pick<AuthorityMaterial, "intermediatePem" | "intermediateKeyPem">> {
  const issuer = await openIssuer(rootPem, rootKeyPem);
  // A name of its own: two intermediates of one name make every path ambiguous.
  const name = `${mesh} intermediate ${randomHex(4)}`;
  const made = await writeCa({ trustDomain, name, nowMs: clock.epochMs(), lifeMs: intermediateLifeMs, issuer });
  return { intermediatePem: made.certificatePem, intermediateKeyPem: made.privateKeyPem };
}

function checkIdentity(id: SpiffeId, trustDomain: string): void {
  if (id.trustDomain === trustDomain && id.path !== "") return;
  throw new MeshError("ERR_CSR_DENIED", `No certificate for ${id.text}: this CA is of trust domain ${trustDomain}`, {
    advice: `Join a control plane of trust domain ${id.trustDomain}, or ask for an identity of ${trustDomain}.`,
  });
}

async function checkRoot(material: AuthorityMaterial, trustDomain: string): Promise<void> {
  const root = readCertificate(decodePem(material.rootsPem, "CERTIFICATE")[0]!);
  if (typeof root === "string") throw unusable(`root.pem: ${root}`);
  const uri = root.extensions.subjectAltName?.uris[0] ?? "no trust domain";
  if (uri !== `spiffe://${trustDomain}`) {
    throw new MeshError("ERR_OPTION_INVALID", `The CA is of ${uri}, not of spiffe://${trustDomain}`, {
      advice: "Start with the trust domain the CA was made for, or in another directory.",
    });
  }
  if (material.rootKeyPem === null || (await isKeyPair(material.rootKeyPem, root.publicKey))) return;
  throw unusable("root.key is not the key of root.pem");
}

async function intermediateProblem(material: AuthorityMaterial, nowMs: number): Promise<string | null> {
  const root = decodePem(material.rootsPem, "CERTIFICATE")[0]!;
  const der = decodePem(material.intermediatePem, "CERTIFICATE")[0]!;
  const certificate = readCertificate(der);
  if (typeof certificate === "string") return `intermediate.pem: ${certificate}`;
  const problem = await pathProblem({ chain: [der], roots: [root], nowMs });
  if (problem !== null) return `intermediate.pem: ${problem}`;
  return (await isKeyPair(material.intermediateKeyPem, certificate.publicKey))
    ? null
    : "intermediate.key is not the key of intermediate.pem";
}

function unusable(why: string): MeshError {
  return new MeshError("ERR_OPTION_INVALID", `The stored CA is unusable: ${why}`, {
    advice: "Restore its directory from a backup, or start with a new one: every workload then has to join again.",
  });
}
