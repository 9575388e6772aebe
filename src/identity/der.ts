/**
 * DER as certificates use it: definite minimal lengths, one-byte tags, no recursion (the caller's schema drives), nothing
 * copied. What is not exactly DER is refused, because two parsers that disagree about a certificate are a way in.
 *
 * @see ITU-T X.690 §10
 */

/** The bytes are not what the schema says. Stays inside identity/: entry points turn it into a reason. */
export class DerError extends Error {
  override readonly name = "DerError";
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** A cursor over the content of one element. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get isDone(): boolean {
    return this.#at === this.#end;
  }

  /** Tag of the next element, -1 at the end. */
  get tag(): number {
    return this.isDone ? -1 : this.#bytes[this.#at]!;
  }

  /** Enters the next element, which must have this tag. */
  read(tag: number): DerReader {
    if (this.tag !== tag)
      throw new DerError(
        `expected tag 0x${tag.toString(16)}, found ${this.isDone ? "the end" : `0x${this.tag.toString(16)}`}`,
      );
    const start = this.#contentStart();
    const length = this.#contentLength(start);
    this.#at = start + length;
    return new DerReader(this.#bytes, start, this.#at);
  }

  /** Enters the next element if it has this tag. */
  readOptional(tag: number): DerReader | null {
    return this.tag === tag ? this.read(tag) : null;
  }

  /** The next element with its header, whatever it is. */
  element(): Uint8Array {
    const from = this.#at;
    if (this.isDone) throw new DerError("expected an element, found the end");
    if ((this.tag & 0x1f) === 0x1f) throw new DerError("tag number too high");
    this.read(this.tag);
    return this.#bytes.subarray(from, this.#at);
  }

  /** All that is left, as a view. */
  rest(): Uint8Array {
    const view = this.#bytes.subarray(this.#at, this.#end);
    this.#at = this.#end;
    return view;
  }

  /** Fails if something is left over. */
  finish(): void {
    if (!this.isDone) throw new DerError("unexpected bytes after the last element");
  }

  /** Content of an INTEGER: two's complement, minimal. */
  integer(): Uint8Array {
    const content = this.read(tags.integer).rest();
    const [first, second] = content;
    if (first === undefined) throw new DerError("empty integer");
    if (second !== undefined && ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80)))
      throw new DerError("integer is not minimal");
    return content;
  }

  /** An INTEGER between 0 and 2³¹ − 1. */
  smallInteger(): number {
    const content = this.integer();
    if (content[0]! >= 0x80 || content.length > 4) throw new DerError("integer out of range");
    return content.reduce((value, byte) => value * 256 + byte, 0);
  }

  boolean(): boolean {
    const content = this.read(tags.boolean).rest();
    if (content.length !== 1 || (content[0] !== 0x00 && content[0] !== 0xff)) throw new DerError("malformed boolean");
    return content[0] === 0xff;
  }

  /** Content of an OBJECT IDENTIFIER as lower-case hex: enough to compare, cheaper than dotted text. */
  oid(): string {
    const content = this.read(tags.oid).rest();
    if (content.length === 0 || content[content.length - 1]! >= 0x80) throw new DerError("malformed object identifier");
    return hex(content);
  }

  /** Content of a BIT STRING that is made of whole bytes. */
  octets(): Uint8Array {
    const content = this.read(tags.bitString).rest();
    if (content[0] !== 0) throw new DerError("bit string is not made of bytes");
    return content.subarray(1);
  }

  #contentStart(): number {
    const first = this.#bytes[this.#at + 1];
    if (first === undefined || this.#at + 1 >= this.#end) throw new DerError("truncated length");
    if (first < 0x80) return this.#at + 2;
    // Four bytes of length are more than anything we accept has; 0x80 is the indefinite form.
    if (first === 0x80 || first > 0x84) throw new DerError("unsupported length");
    return this.#at + 2 + (first & 0x7f);
  }

  #contentLength(start: number): number {
    if (start > this.#end) throw new DerError("truncated length");
    const first = this.#bytes[this.#at + 1]!;
    let length = first;
    if (first >= 0x80) {
      length = 0;
      for (let i = this.#at + 2; i < start; i++) length = length * 256 + this.#bytes[i]!;
      const isMinimal = length >= 0x80 && this.#bytes[this.#at + 2] !== 0;
      if (!isMinimal) throw new DerError("length is not minimal");
    }
    if (length > this.#end - start) throw new DerError("element is longer than its container");
    return length;
  }
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
