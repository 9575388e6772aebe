/**
 * Finds and validates a message head in one pass over the bytes, into a table of offsets. Strict from the first byte: what two
 * parsers could read differently is refused, because somewhere behind us stands the other parser.
 *
 * Resumes at any byte, so a head that trickles in costs no more than one that arrives whole.
 */
import { MeshError, type MeshErrorCode } from "../errors.ts";
import { COLON, CR, HTAB, LF, SP, targetBytes, tokenBytes, valueBytes } from "./chars.ts";
import { fieldKind } from "./fields.ts";
import { latin1 } from "./latin1.ts";
import type { WireLimits } from "./message.ts";

/** Offsets per field line: name start, name end, value start, value end, kind. The next line's name start ends the line. */
export const STRIDE = 5;

/** A head as found: its text, and where everything stands in it. */
export interface RawHead {
  /** The head as latin-1 text, up to and without the empty line. */
  readonly text: string;
  /** `STRIDE` offsets per field line, then one: the end of the last line. */
  readonly fields: Int32Array;
  readonly fieldCount: number;
  /** A bit per field kind that occurs. */
  readonly seen: number;
  /** Request: method. Response: version. */
  readonly firstFrom: number;
  readonly firstTo: number;
  /** Request: target. Response: status and reason. */
  readonly secondFrom: number;
  readonly secondTo: number;
  /** 0 or 1, of HTTP/1.x. */
  readonly minorVersion: number;
}

const START = 0;
const START_LF = 1;
const METHOD = 2;
const TARGET = 3;
const REQUEST_VERSION = 4;
const RESPONSE_VERSION = 5;
const STATUS = 6;
const REASON = 7;
const LINE_LF = 8;
const FIELD = 9;
const NAME = 10;
const VALUE_START = 11;
const VALUE = 12;
const VALUE_LF = 13;
const END_LF = 14;

const VERSION = Uint8Array.from("HTTP/1.", (c) => c.charCodeAt(0));
/** RFC 9112 §2.2 asks to forgive a few empty lines before a request line. More than this is not a slip. */
const MAX_LEADING_BYTES = 16;
const MAX_METHOD_BYTES = 32;
const MAX_REASON_BYTES = 1024;

/** Where offsets are collected. One for all parsers: only a head that arrives in pieces keeps its own copy meanwhile. */
let scratch = new Int32Array(STRIDE * 128 + 1);

export class HeadParser {
  readonly #isRequest: boolean;
  readonly #limits: WireLimits;
  #state = START;
  /** Relative to the first byte fed, as every offset here. */
  #at = 0;
  #mark = 0;
  #fieldsFrom = 0;
  #fieldCount = 0;
  #seen = 0;
  #firstFrom = 0;
  #firstTo = 0;
  #secondFrom = 0;
  #secondTo = 0;
  #minorVersion = 1;
  #held: Uint8Array | null = null;
  #heldLength = 0;
  #heldFields: Int32Array | null = null;
  /** The head that `feed` completed. */
  head: RawHead | null = null;

  constructor(kind: "request" | "response", limits: WireLimits) {
    this.#isRequest = kind === "request";
    this.#limits = limits;
    if (scratch.length < STRIDE * limits.maxHeaders + 1) scratch = new Int32Array(STRIDE * limits.maxHeaders + 1);
  }

  /** True between the first byte of a head and its last. */
  get isMidHead(): boolean {
    return this.#heldLength > 0;
  }

  /**
   * Reads on at `chunk[from]`. Returns the index behind the head once it is complete (`head` then holds it), or -1 if it took
   * everything and wants more.
   *
   * @throws {MeshError} the message must not be processed and nothing behind it can be understood
   */
  feed(chunk: Uint8Array, from: number): number {
    const heldBefore = this.#heldLength;
    if (heldBefore === 0) {
      const next = this.#scan(chunk, from, chunk.length);
      if (next >= 0) this.#complete(chunk, from);
      else {
        this.#hold(chunk, from);
        this.#heldFields = scratch.slice(0, this.#fieldCount * STRIDE + STRIDE);
      }
      return next;
    }
    if (this.#heldFields !== null) scratch.set(this.#heldFields);
    this.#hold(chunk, from);
    const next = this.#scan(this.#held!, 0, this.#heldLength);
    if (next >= 0) {
      this.#complete(this.#held!, 0);
      return from + next - heldBefore;
    }
    this.#heldFields = scratch.slice(0, this.#fieldCount * STRIDE + STRIDE);
    return -1;
  }

  #hold(chunk: Uint8Array, from: number): void {
    // A head that is complete fits in this; what follows it stays in the caller's chunk.
    const most = this.#limits.maxTargetBytes + this.#limits.maxHeaderBytes + MAX_REASON_BYTES + 64;
    const to = Math.min(chunk.length, from + most - this.#heldLength);
    const length = this.#heldLength + to - from;
    if (this.#held === null || this.#held.length < length) {
      const grown = new Uint8Array(Math.min(most, Math.max(512, length * 2)));
      if (this.#held !== null) grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(chunk.subarray(from, to), this.#heldLength);
    this.#heldLength = length;
  }

  #complete(bytes: Uint8Array, base: number): void {
    const last = this.#fieldCount * STRIDE;
    this.head = {
      text: latin1(bytes, base, base + scratch[last]!),
      fields: scratch.slice(0, last + 1),
      fieldCount: this.#fieldCount,
      seen: this.#seen,
      firstFrom: this.#firstFrom,
      firstTo: this.#firstTo,
      secondFrom: this.#secondFrom,
      secondTo: this.#secondTo,
      minorVersion: this.#minorVersion,
    };
    this.#state = START;
    this.#at = this.#fieldCount = this.#seen = this.#heldLength = 0;
    this.#held = this.#heldFields = null;
  }

  #refuse(code: MeshErrorCode, message: string): never {
    throw this.#isRequest
      ? new MeshError(code, message)
      : new MeshError("ERR_UPSTREAM_PROTOCOL", message, { sent: "head" });
  }

  #malformed(message: string): never {
    this.#refuse("ERR_REQUEST_MALFORMED", message);
  }

  /** Index behind the head in `bytes`, or -1 at their end. `base` is where the head's first byte is. */
  #scan(bytes: Uint8Array, base: number, end: number): number {
    let i = base + this.#at;
    let state = this.#state;
    let mark = base + this.#mark;
    while (i < end) {
      switch (state) {
        case FIELD:
          if (bytes[i] === CR) {
            state = END_LF;
            i++;
            break;
          }
          if (this.#fieldCount === this.#limits.maxHeaders)
            this.#refuse("ERR_HEADERS_TOO_LARGE", `More than ${this.#limits.maxHeaders} header lines`);
          if (i - base - this.#fieldsFrom > this.#limits.maxHeaderBytes) this.#tooLarge();
          mark = i;
          state = NAME;
          break;
        case NAME: {
          while (i < end && tokenBytes[bytes[i]!] !== 0) i++;
          if (i === end) break;
          if (bytes[i] !== COLON || i === mark) this.#malformed(nameFault(bytes[i]!, i === mark));
          const row = this.#fieldCount * STRIDE;
          scratch[row] = mark - base;
          scratch[row + 1] = i - base;
          const kind = fieldKind(bytes, mark, i);
          scratch[row + 4] = kind;
          this.#seen |= 1 << kind;
          i++;
          state = VALUE_START;
          break;
        }
        case VALUE_START:
          while (i < end && (bytes[i] === SP || bytes[i] === HTAB)) i++;
          if (i === end) break;
          mark = i;
          state = VALUE;
          break;
        case VALUE: {
          while (i < end && valueBytes[bytes[i]!] !== 0) i++;
          if (i === end) break;
          if (bytes[i] !== CR) this.#malformed(`Header value holds byte ${bytes[i]}`);
          let to = i;
          while (to > mark && (bytes[to - 1] === SP || bytes[to - 1] === HTAB)) to--;
          const row = this.#fieldCount * STRIDE;
          scratch[row + 2] = mark - base;
          scratch[row + 3] = to - base;
          i++;
          state = VALUE_LF;
          break;
        }
        case VALUE_LF:
          if (bytes[i] !== LF) this.#malformed("Header line ends in CR without LF");
          i++;
          scratch[++this.#fieldCount * STRIDE] = i - base;
          state = FIELD;
          break;
        case END_LF:
          if (bytes[i] !== LF) this.#malformed("Head ends in CR without LF");
          if (i - base - this.#fieldsFrom > this.#limits.maxHeaderBytes + 1) this.#tooLarge();
          return i + 1;
        case START:
          if (i - base > MAX_LEADING_BYTES) this.#malformed("Empty lines before the message");
          mark = i;
          if (bytes[i] === CR) {
            state = START_LF;
            i++;
          } else if (this.#isRequest) state = METHOD;
          else state = RESPONSE_VERSION;
          break;
        case START_LF:
          if (bytes[i] !== LF) this.#malformed("CR without LF before the message");
          i++;
          state = START;
          break;
        case METHOD:
          while (i < end && tokenBytes[bytes[i]!] !== 0) i++;
          if (i - mark > MAX_METHOD_BYTES) this.#malformed("Method too long");
          if (i === end) break;
          if (bytes[i] !== SP || i === mark) this.#malformed("Request line does not start with a method and a space");
          this.#firstFrom = mark - base;
          this.#firstTo = i - base;
          mark = ++i;
          state = TARGET;
          break;
        case TARGET:
          while (i < end && targetBytes[bytes[i]!] !== 0) i++;
          if (i - mark > this.#limits.maxTargetBytes)
            this.#refuse("ERR_TARGET_TOO_LONG", `Request target is longer than ${this.#limits.maxTargetBytes} bytes`);
          if (i === end) break;
          if (bytes[i] !== SP || i === mark) this.#malformed(`Request target holds byte ${bytes[i]}`);
          this.#secondFrom = mark - base;
          this.#secondTo = i - base;
          mark = ++i;
          state = REQUEST_VERSION;
          break;
        case REQUEST_VERSION:
        case RESPONSE_VERSION: {
          const k = i - mark;
          if (k < 7) {
            // A digit where "1" should be is another version; anything else is no HTTP at all.
            if (bytes[i] !== VERSION[k])
              this.#refuse(
                k === 5 && isDigit(bytes[i]!) ? "ERR_VERSION_NOT_SUPPORTED" : "ERR_REQUEST_MALFORMED",
                "Not HTTP/1.0 or HTTP/1.1",
              );
            i++;
          } else if (k === 7) {
            this.#minorVersion = bytes[i]! - 0x30;
            if (this.#minorVersion !== 1 && this.#minorVersion !== 0)
              this.#refuse(
                isDigit(bytes[i]!) ? "ERR_VERSION_NOT_SUPPORTED" : "ERR_REQUEST_MALFORMED",
                "Not HTTP/1.0 or HTTP/1.1",
              );
            i++;
          } else if (state === REQUEST_VERSION) {
            if (bytes[i] !== CR) this.#malformed("Request line goes on after the version");
            i++;
            state = LINE_LF;
          } else {
            if (bytes[i] !== SP) this.#malformed("No space after the version");
            this.#firstFrom = mark - base;
            this.#firstTo = i - base;
            mark = ++i;
            state = STATUS;
          }
          break;
        }
        case STATUS:
          if (i - mark < 3) {
            if (!isDigit(bytes[i]!) || (i === mark && bytes[i] === 0x30)) this.#malformed("Status is not three digits");
            i++;
            break;
          }
          if (bytes[i] !== SP && bytes[i] !== CR) this.#malformed("Status is not three digits");
          state = REASON;
          break;
        case REASON:
          while (i < end && valueBytes[bytes[i]!] !== 0) i++;
          if (i - mark > MAX_REASON_BYTES) this.#malformed("Reason phrase too long");
          if (i === end) break;
          if (bytes[i] !== CR) this.#malformed(`Reason phrase holds byte ${bytes[i]}`);
          this.#secondFrom = mark - base;
          this.#secondTo = i - base;
          i++;
          state = LINE_LF;
          break;
        case LINE_LF:
          if (bytes[i] !== LF) this.#malformed("First line ends in CR without LF");
          i++;
          this.#fieldsFrom = i - base;
          scratch[0] = i - base;
          state = FIELD;
          break;
      }
    }
    if (state >= FIELD && i - base - this.#fieldsFrom > this.#limits.maxHeaderBytes) this.#tooLarge();
    this.#at = i - base;
    this.#mark = mark - base;
    this.#state = state;
    return -1;
  }

  #tooLarge(): never {
    this.#refuse("ERR_HEADERS_TOO_LARGE", `Header lines are longer than ${this.#limits.maxHeaderBytes} bytes`);
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function nameFault(byte: number, isFirst: boolean): string {
  if (isFirst) return byte === SP || byte === HTAB ? "Folded header line" : "Header line without a name";
  return byte === SP || byte === HTAB ? "Space before the colon of a header line" : `Header name holds byte ${byte}`;
}
