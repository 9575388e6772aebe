/** What a head says about its connection and its body: decided once, strictly, before anybody acts on the message. */
import { CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING } from "./fields.ts";
import type { HeadLines } from "./head-lines.ts";

/** `Connection`, understood. */
export interface ConnectionOptions {
  readonly closes: boolean;
  readonly keepsAlive: boolean;
  readonly upgrades: boolean;
  /** Lower-case names of fields that end here; null if none. */
  readonly named: ReadonlySet<string> | null;
}

const none: ConnectionOptions = { closes: false, keepsAlive: false, upgrades: false, named: null };
const closeOnly: ConnectionOptions = { closes: true, keepsAlive: false, upgrades: false, named: null };
const keepAliveOnly: ConnectionOptions = { closes: false, keepsAlive: true, upgrades: false, named: null };

export function connectionOptions(lines: HeadLines): ConnectionOptions {
  if (!lines.has(CONNECTION)) return none;
  const value = lines.get("connection")!.toLowerCase();
  // What all but a few connections say.
  if (value === "keep-alive") return keepAliveOnly;
  if (value === "close") return closeOnly;
  let closes = false;
  let keepsAlive = false;
  let upgrades = false;
  let named: Set<string> | null = null;
  for (const part of value.split(",")) {
    const option = part.trim();
    if (option === "close") closes = true;
    else if (option === "keep-alive") keepsAlive = true;
    else if (option === "upgrade") upgrades = true;
    else if (option !== "") (named ??= new Set()).add(option);
  }
  return { closes, keepsAlive, upgrades, named };
}

/** How long a body is: its bytes, or one of these. */
export const CHUNKED = -1;
export const UNTIL_CLOSE = -2;

/** What is wrong with the framing fields, or null and the length. */
export interface Framing {
  readonly length: number;
  readonly fault: string | null;
  /** A coding that is legal but that we do not speak. */
  readonly isUnknownCoding: boolean;
}

const empty: Framing = { length: 0, fault: null, isUnknownCoding: false };
const chunked: Framing = { length: CHUNKED, fault: null, isUnknownCoding: false };
const untilClose: Framing = { length: UNTIL_CLOSE, fault: null, isUnknownCoding: false };

/**
 * How the body behind this head is framed (RFC 9112 §6.3), refusing whatever an older or laxer parser could frame differently:
 * both fields at once, either of them twice, codings besides `chunked`, HTTP/1.0 with codings.
 */
export function bodyFraming(lines: HeadLines, isRequest: boolean): Framing {
  const hasCoding = lines.has(TRANSFER_ENCODING);
  if (!lines.has(CONTENT_LENGTH)) {
    if (!hasCoding) return isRequest ? empty : untilClose;
    return codedFraming(lines);
  }
  if (hasCoding) return faulty("Both Content-Length and Transfer-Encoding");
  if (lines.countOfKind(CONTENT_LENGTH) > 1) return faulty("More than one Content-Length");
  const value = lines.ofKind(CONTENT_LENGTH)!;
  if (value === "0") return empty;
  let length = value === "" ? NaN : 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    length = digit >= 0 && digit <= 9 ? length * 10 + digit : NaN;
  }
  // Also false for NaN. Beyond 2^53 bytes cannot be counted, and 285 years of 1 GB/s are not a body.
  if (!(length <= Number.MAX_SAFE_INTEGER)) return faulty("Content-Length is not a length");
  return { length, fault: null, isUnknownCoding: false };
}

function codedFraming(lines: HeadLines): Framing {
  if (lines.raw.minorVersion === 0) return faulty("Transfer-Encoding in HTTP/1.0");
  if (lines.countOfKind(TRANSFER_ENCODING) > 1) return faulty("More than one Transfer-Encoding");
  const value = lines.ofKind(TRANSFER_ENCODING)!.toLowerCase();
  if (value === "chunked") return chunked;
  // "gzip, chunked" is framed clearly, only that we do not speak gzip; "chunked, gzip" is not framed at all.
  const isUnknownCoding = /^(?:gzip|x-gzip|deflate|compress|x-compress)(?:[ \t]*,[ \t]*chunked)$/.test(value);
  return { length: 0, fault: `Transfer-Encoding "${value}" is not "chunked"`, isUnknownCoding };
}

function faulty(fault: string): Framing {
  return { length: 0, fault, isUnknownCoding: false };
}
