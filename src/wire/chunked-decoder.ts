/** RFC 9112 §7.1, strictly: sizes are plain hexadecimal, lines end in CRLF, extensions are bounded and dropped. */
import { MeshError } from "../errors.ts";
import { isProtectedHeader } from "../protected-headers.ts";
import { CR, hexValues, HTAB, LF, SP, tokenBytes, valueBytes } from "./chars.ts";
import { latin1 } from "./latin1.ts";

const SIZE = 0;
const EXTENSION = 1;
const QUOTED = 2;
const SIZE_LF = 3;
const DATA = 4;
const DATA_CR = 5;
const DATA_LF = 6;
const TRAILER_START = 7;
const TRAILER_NAME = 8;
const TRAILER_VALUE = 9;
const TRAILER_LF = 10;
const END_LF = 11;
const QUOTED_PAIR = 12;

/** 2^52: sums of sizes stay exact. */
const MAX_SIZE_DIGITS = 13;
/** Extensions mean nothing to us. A few are forgiven, more are an attack on whoever counts differently (CVE-2023-39326). */
const MAX_EXTENSION_BYTES = 256;
const MAX_EXTENSION_BYTES_TOTAL = 16_384;

/** Trailer fields that frame, route or authenticate are dropped (RFC 9110 §6.5.1): nobody looks for them there but an attacker. */
const forbiddenTrailers: ReadonlySet<string> = new Set(
  (
    "transfer-encoding content-length host connection keep-alive te upgrade trailer expect content-encoding content-type content-range " +
    "authorization proxy-authorization cookie set-cookie client-cert cache-control max-forwards range"
  ).split(" "),
);

function isForbidden(name: string): boolean {
  // What only the mesh may say as a header nobody may say behind a body, in whatever spelling.
  return forbiddenTrailers.has(name) || name.startsWith("x-forwarded-") || isProtectedHeader(name);
}

export class ChunkedDecoder {
  readonly #maxTrailerBytes: number;
  #state = SIZE;
  #digits = 0;
  /** Bytes of the present chunk still to come. */
  #left = 0;
  #extensionBytes = 0;
  #extensionBytesTotal = 0;
  #trailerBytes = 0;
  #name = "";
  #value = "";
  /** name, value, name, value …; null if there were none. */
  trailers: string[] | null = null;
  isComplete = false;

  constructor(maxTrailerBytes: number) {
    this.#maxTrailerBytes = maxTrailerBytes;
  }

  /** Index behind what belongs to the body. Calls `take` for each run of data in `chunk`. */
  feed(chunk: Uint8Array, from: number, take: (from: number, to: number) => void): number {
    const end = chunk.length;
    let i = from;
    while (i < end) {
      const byte = chunk[i]!;
      switch (this.#state) {
        case DATA: {
          const to = Math.min(end, i + this.#left);
          take(i, to);
          this.#left -= to - i;
          i = to;
          if (this.#left === 0) this.#state = DATA_CR;
          continue;
        }
        case SIZE: {
          const digit = hexValues[byte]!;
          if (digit < 16) {
            // Leading zeros count as well: "000…" without end must not either.
            if (++this.#digits > MAX_SIZE_DIGITS) throw broken("Chunk size has too many digits");
            this.#left = this.#left * 16 + digit;
            break;
          }
          if (this.#digits === 0) throw broken("Chunk size is not a number");
          if (byte === CR) this.#state = SIZE_LF;
          else if (byte === 0x3b /* ; */) this.#state = EXTENSION;
          else throw broken("Chunk size is not a number");
          this.#extensionBytes = 0;
          break;
        }
        case EXTENSION:
          if (byte === CR) {
            if (this.#extensionBytes === 0) throw broken("Empty chunk extension");
            this.#state = SIZE_LF;
            break;
          }
          // Names, values, their "=" and the next ";": no blanks, as a laxer parser might end the line there.
          if (byte === 0x22 /* " */) this.#state = QUOTED;
          else if (tokenBytes[byte] === 0 && byte !== 0x3d && byte !== 0x3b)
            throw broken("Chunk extension is malformed");
          this.#countExtension();
          break;
        case QUOTED:
          if (byte === 0x22) this.#state = EXTENSION;
          else if (byte === 0x5c /* \\ */) this.#state = QUOTED_PAIR;
          else if (valueBytes[byte] === 0) throw broken("Chunk extension is malformed");
          this.#countExtension();
          break;
        case QUOTED_PAIR:
          if (valueBytes[byte] === 0) throw broken("Chunk extension is malformed");
          this.#state = QUOTED;
          this.#countExtension();
          break;
        case SIZE_LF:
          if (byte !== LF) throw broken("Chunk size line ends in CR without LF");
          this.#digits = 0;
          this.#state = this.#left === 0 ? TRAILER_START : DATA;
          break;
        case DATA_CR:
          if (byte !== CR) throw broken("Chunk is longer than its size");
          this.#state = DATA_LF;
          break;
        case DATA_LF:
          if (byte !== LF) throw broken("Chunk ends in CR without LF");
          this.#state = SIZE;
          break;
        case END_LF:
          if (byte !== LF) throw broken("Body ends in CR without LF");
          this.isComplete = true;
          return i + 1;
        default:
          i = this.#trailer(chunk, i);
          continue;
      }
      i++;
    }
    return i;
  }

  #countExtension(): void {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES || ++this.#extensionBytesTotal > MAX_EXTENSION_BYTES_TOTAL)
      throw broken("Chunk extensions are too long");
  }

  /** Reads on in the trailer section; rare enough to be plain. */
  #trailer(chunk: Uint8Array, from: number): number {
    let i = from;
    const byte = chunk[i]!;
    switch (this.#state) {
      case TRAILER_START:
        if (byte === CR) {
          this.#state = END_LF;
          return i + 1;
        }
        this.#name = this.#value = "";
        this.#state = TRAILER_NAME;
        return i;
      case TRAILER_NAME:
        while (i < chunk.length && tokenBytes[chunk[i]!] !== 0) i++;
        this.#name += latin1(chunk, from, i);
        if (i === chunk.length) break;
        if (chunk[i] !== 0x3a || this.#name === "") throw broken("Trailer line is malformed");
        this.#state = TRAILER_VALUE;
        i++;
        break;
      case TRAILER_VALUE:
        while (i < chunk.length && valueBytes[chunk[i]!] !== 0) i++;
        this.#value += latin1(chunk, from, i);
        if (i === chunk.length) break;
        if (chunk[i] !== CR) throw broken("Trailer line is malformed");
        this.#state = TRAILER_LF;
        i++;
        break;
      default:
        if (byte !== LF) throw broken("Trailer line ends in CR without LF");
        this.#state = TRAILER_START;
        if (!isForbidden(this.#name.toLowerCase())) (this.trailers ??= []).push(this.#name, trimBlanks(this.#value));
        return i + 1;
    }
    this.#trailerBytes += i - from;
    if (this.#trailerBytes > this.#maxTrailerBytes)
      throw new MeshError("ERR_HEADERS_TOO_LARGE", `Trailers are longer than ${this.#maxTrailerBytes} bytes`);
    return i;
  }
}

function trimBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}

function broken(message: string): MeshError {
  return new MeshError("ERR_REQUEST_MALFORMED", message);
}
