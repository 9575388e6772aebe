/** Random identifiers for requests and spans: unguessable, and cheap because random bytes are fetched by the page. */

const pageBytes = 4096;

const hexOfByte: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export interface IdSource {
  /** UUID version 4 (RFC 9562 §5.4). */
  requestId(): string;
  /** 16 bytes as lower-case hex, never all zero. */
  traceId(): string;
  /** 8 bytes as lower-case hex, never all zero. */
  spanId(): string;
}

/** Fetches randomness on first use, not when built: workers forbid it outside a request. */
export function randomIds(): IdSource {
  const page = new Uint8Array(pageBytes);
  let at = pageBytes;
  const take = (bytes: number): number => {
    if (at + bytes > pageBytes) {
      crypto.getRandomValues(page);
      at = 0;
    }
    at += bytes;
    return at - bytes;
  };
  const hex = (from: number, to: number): string => {
    let text = "";
    for (let i = from; i < to; i++) text += hexOfByte[page[i]!]!;
    return text;
  };
  const id = (bytes: number): string => {
    const from = take(bytes);
    // W3C calls all zero invalid; one set bit costs less than looking.
    page[from + bytes - 1]! |= 1;
    return hex(from, from + bytes);
  };
  return {
    requestId() {
      const from = take(16);
      page[from + 6] = (page[from + 6]! & 0x0f) | 0x40;
      page[from + 8] = (page[from + 8]! & 0x3f) | 0x80;
      return `${hex(from, from + 4)}-${hex(from + 4, from + 6)}-${hex(from + 6, from + 8)}-${hex(from + 8, from + 10)}-${hex(from + 10, from + 16)}`;
    },
    traceId: () => id(16),
    spanId: () => id(8),
  };
}
