/** The extensions of a certificate or a certificate request that decide something. RFC 5280 §4.2. */
import { DerError, type DerReader, tags } from "./der.ts";

export interface Extensions {
  readonly basicConstraints: {
    readonly isCa: boolean;
    readonly pathLength: number | null;
    readonly isCritical: boolean;
  } | null;
  readonly keyUsage: { readonly bits: number; readonly isCritical: boolean } | null;
  /** OIDs as hex of their content. Never empty. */
  readonly extendedKeyUsage: readonly string[] | null;
  readonly subjectAltName: { readonly uris: readonly string[]; readonly isCritical: boolean } | null;
  readonly hasSubjectKeyId: boolean;
  readonly authorityKeyId: "absent" | "without-key" | "with-key";
  /** Extensions that must be understood and are not, or that break RFC 5280 by their mere criticality. First one found. */
  readonly objection: string | null;
}

/** First byte of KeyUsage, most significant bit first (RFC 5280 §4.2.1.3). */
export const keyUsageBits = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const;
export const extendedKeyUsages = {
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
  any: "551d2500",
} as const;

const known = {
  subjectKeyId: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  nameConstraints: "551d1e",
  authorityKeyId: "551d23",
  policyConstraints: "551d24",
  extendedKeyUsage: "551d25",
} as const;

// Certificates in use have a dozen; the bound keeps the search for duplicates cheap.
const maxExtensions = 32;

export const noExtensions: Extensions = Object.freeze({
  basicConstraints: null,
  keyUsage: null,
  extendedKeyUsage: null,
  subjectAltName: null,
  hasSubjectKeyId: false,
  authorityKeyId: "absent",
  objection: null,
});

/** Reads `[3] Extensions` of a certificate. @throws {DerError} */
export function readExtensions(wrapper: DerReader | null): Extensions {
  if (wrapper === null) return noExtensions;
  const list = wrapper.read(tags.sequence);
  wrapper.finish();
  return readExtensionList(list);
}

/** Reads the content of an Extensions SEQUENCE. @throws {DerError} */
export function readExtensionList(list: DerReader): Extensions {
  const facts: { -readonly [K in keyof Extensions]: Extensions[K] } = { ...noExtensions };
  const seen: string[] = [];
  while (!list.isDone) {
    const extension = list.read(tags.sequence);
    const oid = extension.oid();
    // An explicit FALSE is not DER, but common, and nobody can be misled by it.
    const isCritical = extension.tag === tags.boolean ? extension.boolean() : false;
    const value = extension.read(tags.octetString);
    extension.finish();
    if (seen.includes(oid)) throw new DerError("an extension is repeated");
    if (seen.push(oid) > maxExtensions) throw new DerError("too many extensions");
    switch (oid) {
      case known.basicConstraints:
        facts.basicConstraints = basicConstraints(value, isCritical);
        break;
      case known.keyUsage:
        facts.keyUsage = { bits: keyUsage(value), isCritical };
        break;
      case known.extendedKeyUsage:
        facts.extendedKeyUsage = extendedKeyUsage(value);
        break;
      case known.subjectAltName:
        facts.subjectAltName = { uris: uris(value), isCritical };
        break;
      case known.subjectKeyId:
        facts.hasSubjectKeyId = true;
        if (isCritical) facts.objection ??= "subject key identifier is critical";
        break;
      case known.authorityKeyId:
        facts.authorityKeyId = authorityKeyId(value);
        if (isCritical) facts.objection ??= "authority key identifier is critical";
        break;
      case known.nameConstraints:
        // Who limits names expects the limit to hold, critical or not, and we do not implement it.
        facts.objection ??= "name constraints are not supported";
        break;
      case known.policyConstraints:
        facts.objection ??= "policy constraints are not supported";
        break;
      default:
        if (isCritical) facts.objection ??= `critical extension ${oid} is not understood`;
    }
  }
  return facts;
}

function basicConstraints(value: DerReader, isCritical: boolean): NonNullable<Extensions["basicConstraints"]> {
  const content = value.read(tags.sequence);
  value.finish();
  const isCa = content.tag === tags.boolean ? content.boolean() : false;
  const pathLength = content.tag === tags.integer ? content.smallInteger() : null;
  content.finish();
  if (pathLength !== null && !isCa) throw new DerError("path length without CA");
  return { isCa, pathLength, isCritical };
}

function keyUsage(value: DerReader): number {
  const content = value.read(tags.bitString).rest();
  value.finish();
  const unused = content[0] ?? 8;
  const last = content[content.length - 1] ?? 0;
  // A named bit list: trailing zero bits are not written (X.690 §11.2.2), and one bit at least is set (RFC 5280 §4.2.1.3).
  if (
    content.length < 2 ||
    content.length > 3 ||
    unused > 7 ||
    ((last >> unused) & 1) === 0 ||
    (last & ((1 << unused) - 1)) !== 0
  ) {
    throw new DerError("malformed key usage");
  }
  return content[1]!;
}

function extendedKeyUsage(value: DerReader): string[] {
  const content = value.read(tags.sequence);
  value.finish();
  const usages: string[] = [];
  while (!content.isDone) usages.push(content.oid());
  if (usages.length === 0) throw new DerError("empty extended key usage");
  return usages;
}

function authorityKeyId(value: DerReader): "without-key" | "with-key" {
  const content = value.read(tags.sequence);
  value.finish();
  return content.tag === 0x80 ? "with-key" : "without-key";
}

/** URIs of a SubjectAltName. The other kinds are skipped, never interpreted (SPIFFE X509-SVID §2). */
function uris(value: DerReader): string[] {
  const content = value.read(tags.sequence);
  value.finish();
  const found: string[] = [];
  while (!content.isDone) {
    // GeneralName is a CHOICE of [0] to [8]; a universal tag here is an attempt to pass one string type for another.
    if ((content.tag & 0xc0) !== 0x80 || (content.tag & 0x1f) > 8)
      throw new DerError("malformed subject alternative name");
    if (content.tag === 0x86) found.push(ia5String(content.read(0x86).rest()));
    else if (content.tag === 0xa6) throw new DerError("URI is not a primitive string");
    else content.element();
  }
  return found;
}

function ia5String(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    // Printable ASCII only: a NUL or a line break in a name has fooled other parsers.
    if (byte <= 0x20 || byte >= 0x7f) throw new DerError("URI contains a character no URI has");
    text += String.fromCharCode(byte);
  }
  return text;
}
