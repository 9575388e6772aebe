/** Leaves made byte by byte: what no library would write is what a parser has to be tested with. Their signature is nonsense. */
import { encodeDer, encodeUnsigned, fromHex } from "../../src/identity/der-write.ts";
import { tags } from "../../src/identity/der.ts";

export interface RawLeaf {
  /** Complete GeneralName elements. @default one URI, `spiffe://mesh.local/ns/default/sa/orders` */
  readonly names?: readonly Uint8Array[] | null;
  readonly isSanCritical?: boolean;
  /** Content of the KeyUsage BIT STRING as hex. @default "0780", digitalSignature */
  readonly keyUsage?: string | null;
  readonly isKeyUsageCritical?: boolean;
  /** OIDs as hex. @default serverAuth and clientAuth */
  readonly extendedKeyUsage?: readonly string[] | null;
  /** Content of the BasicConstraints SEQUENCE as hex. @default absent */
  readonly basicConstraints?: string | null;
  /** Common name of the subject. @default empty subject */
  readonly commonName?: string;
  readonly issuer?: Uint8Array;
  /** @default 2 (v3) */
  readonly version?: number;
  /** As UTCTime or GeneralizedTime text, by length. */
  readonly notBefore?: string;
  readonly notAfter?: string;
  /** Complete Extension elements added at the end. */
  readonly extra?: readonly Uint8Array[];
  readonly outerAlgorithm?: string;
  readonly serial?: Uint8Array;
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const ecdsaWithSha256 = "300a06082a8648ce3d040302";

export const uriName = (text: string, tag = 0x86): Uint8Array => encodeDer(tag, ascii(text));
export const dnsName = (text: string): Uint8Array => encodeDer(0x82, ascii(text));
export const commonName = (text: string): Uint8Array =>
  encodeDer(
    tags.sequence,
    encodeDer(tags.set, encodeDer(tags.sequence, fromHex("0603550403"), encodeDer(tags.utf8String, ascii(text)))),
  );

export function extension(oid: string, value: Uint8Array, isCritical = false): Uint8Array {
  const critical = isCritical ? [fromHex("0101ff")] : [];
  return encodeDer(tags.sequence, encodeDer(tags.oid, fromHex(oid)), ...critical, encodeDer(tags.octetString, value));
}

export function rawLeaf(leaf: RawLeaf = {}): Uint8Array {
  const {
    names = [uriName("spiffe://mesh.local/ns/default/sa/orders")],
    isSanCritical = true,
    keyUsage = "0780",
    isKeyUsageCritical = true,
    extendedKeyUsage = ["2b06010505070301", "2b06010505070302"],
    basicConstraints = null,
    issuer = commonName("ca"),
    version = 2,
    notBefore = "200101000000Z",
    notAfter = "20500101000000Z",
    extra = [],
    outerAlgorithm = ecdsaWithSha256,
    serial = Uint8Array.of(0x40, 1),
  } = leaf;
  const extensions = [
    ...(basicConstraints === null
      ? []
      : [extension("551d13", encodeDer(tags.sequence, fromHex(basicConstraints)), true)]),
    ...(keyUsage === null
      ? []
      : [extension("551d0f", encodeDer(tags.bitString, fromHex(keyUsage)), isKeyUsageCritical)]),
    ...(extendedKeyUsage === null
      ? []
      : [
          extension(
            "551d25",
            encodeDer(tags.sequence, ...extendedKeyUsage.map((oid) => encodeDer(tags.oid, fromHex(oid)))),
          ),
        ]),
    ...(names === null ? [] : [extension("551d11", encodeDer(tags.sequence, ...names), isSanCritical)]),
    ...extra,
  ];
  const point = new Uint8Array(65).fill(4);
  const publicKey = encodeDer(
    tags.sequence,
    fromHex("301306072a8648ce3d020106082a8648ce3d030107"),
    encodeDer(tags.bitString, Uint8Array.of(0), point),
  );
  const body = encodeDer(
    tags.sequence,
    encodeDer(0xa0, encodeUnsigned(Uint8Array.of(version))),
    encodeUnsigned(serial),
    fromHex(ecdsaWithSha256),
    issuer,
    encodeDer(tags.sequence, time(notBefore), time(notAfter)),
    leaf.commonName === undefined ? encodeDer(tags.sequence) : commonName(leaf.commonName),
    publicKey,
    encodeDer(0xa3, encodeDer(tags.sequence, ...extensions)),
  );
  return encodeDer(
    tags.sequence,
    body,
    fromHex(outerAlgorithm),
    encodeDer(tags.bitString, Uint8Array.of(0), fromHex("3006020101020101")),
  );
}

function time(text: string): Uint8Array {
  return encodeDer(text.length <= 13 ? tags.utcTime : tags.generalizedTime, ascii(text));
}
