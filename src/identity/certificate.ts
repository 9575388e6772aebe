/**
 * The facts of an X.509 certificate that identity depends on, read from its DER by one parser on every runtime: their SAN
 * strings can be forged (CVE-2021-44532 and relatives).
 *
 * @see RFC 5280 §4
 */
import { DerError, DerReader, equalBytes, hex, tags } from "./der.ts";
import { readExtensions, type Extensions } from "./extensions.ts";

export interface Certificate {
  readonly der: Uint8Array;
  /** The signed part, with its header. */
  readonly signed: Uint8Array;
  /** AlgorithmIdentifier of the signature as hex; the same inside and outside the signed part. */
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  /** Lower-case hex. */
  readonly serial: string;
  /** Names as DER: compared byte by byte. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** SubjectPublicKeyInfo, with its header. */
  readonly publicKey: Uint8Array;
  /** Epoch ms, whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: Extensions;
}

/** Larger than any certificate with a key we accept: 4096-bit RSA gives about 2 KB. */
export const maxCertificateBytes = 16_384;

const version3 = 2;
// RFC 5280 §4.1.2.2: at most 20 octets, plus a leading zero.
const maxSerialBytes = 21;

/** Reads a certificate; a string is the reason why it is none. */
export function readCertificate(der: Uint8Array): Certificate | string {
  if (der.length > maxCertificateBytes) return "certificate is too large";
  try {
    return read(der);
  } catch (error) {
    if (error instanceof DerError) return `malformed certificate: ${error.message}`;
    throw error;
  }
}

/** An empty SEQUENCE: a name without parts. */
export function isEmptyName(name: Uint8Array): boolean {
  return name.length === 2;
}

export function isSelfIssued(certificate: Certificate): boolean {
  return equalBytes(certificate.issuer, certificate.subject);
}

/**
 * Why the certificate is not valid at `nowMs`, or null. Both ends of the period are inclusive and have a resolution of one
 * second (RFC 5280 §4.1.2.5), so `nowMs` is rounded down.
 */
export function validityProblem(certificate: Certificate, nowMs: number): string | null {
  const nowSecondMs = Math.floor(nowMs / 1000) * 1000;
  if (nowSecondMs < certificate.notBeforeMs)
    return `not valid before ${new Date(certificate.notBeforeMs).toISOString()}`;
  if (nowSecondMs > certificate.notAfterMs) return `expired at ${new Date(certificate.notAfterMs).toISOString()}`;
  return null;
}

function read(der: Uint8Array): Certificate {
  const file = new DerReader(der);
  const outer = file.read(tags.sequence);
  file.finish();
  const signed = outer.element();
  const signatureAlgorithm = outer.element();
  const signature = outer.octets();
  outer.finish();

  const body = new DerReader(signed).read(tags.sequence);
  const version = body.readOptional(0xa0)?.smallInteger() ?? 0;
  if (version !== version3) throw new DerError("not version 3");
  const serial = body.integer();
  if (serial.length > maxSerialBytes) throw new DerError("serial number is too long");
  // RFC 5280 §4.1.1.2: the unsigned copy must not be able to say something else.
  if (!equalBytes(body.element(), signatureAlgorithm)) throw new DerError("the two signature algorithms differ");
  const issuer = name(body);
  const validity = body.read(tags.sequence);
  const notBeforeMs = time(validity);
  const notAfterMs = time(validity);
  validity.finish();
  const subject = name(body);
  if (body.tag !== tags.sequence) throw new DerError("public key is missing");
  const publicKey = body.element();
  // Unique identifiers, [1] and [2]: forbidden to conforming issuers, meaningless to us.
  body.readOptional(0x81);
  body.readOptional(0x82);
  const extensions = readExtensions(body.readOptional(0xa3));
  body.finish();

  return {
    der,
    signed,
    signatureAlgorithm: hex(signatureAlgorithm),
    signature,
    serial: hex(serial),
    issuer,
    subject,
    publicKey,
    notBeforeMs,
    notAfterMs,
    extensions,
  };
}

function name(body: DerReader): Uint8Array {
  if (body.tag !== tags.sequence) throw new DerError("name is missing");
  return body.element();
}

/** UTCTime or GeneralizedTime in the one form RFC 5280 §4.1.2.5 allows: seconds, Zulu, no fraction. */
function time(validity: DerReader): number {
  const isUtc = validity.tag === tags.utcTime;
  const text = validity.read(isUtc ? tags.utcTime : tags.generalizedTime).rest();
  const yearDigits = isUtc ? 2 : 4;
  if (text.length !== yearDigits + 11 || text[text.length - 1] !== 0x5a) throw new DerError("malformed time");
  const at = (from: number, digits: number): number => {
    let value = 0;
    for (let i = from; i < from + digits; i++) {
      const digit = text[i]! - 0x30;
      if (digit < 0 || digit > 9) throw new DerError("malformed time");
      value = value * 10 + digit;
    }
    return value;
  };
  const written = at(0, yearDigits);
  const year = isUtc ? written + (written < 50 ? 2000 : 1900) : written;
  const [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map((offset) => at(yearDigits + offset, 2)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const epochMs = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(epochMs);
  // `Date.UTC` carries the 31st of February over and maps years below 100: whatever does not read back was no date.
  const isDate = back.getUTCFullYear() === year && back.getUTCMonth() === month - 1 && back.getUTCDate() === day;
  if (!isDate || hour > 23 || minute > 59 || second > 59) throw new DerError("malformed time");
  return epochMs;
}
