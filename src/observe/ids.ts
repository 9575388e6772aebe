/** Random identifiers for requests and spans: unguessable, and cheap, as randomness is fetched and spelt by the page. */

const pageBytes = 4096;
const zeroes = "0".repeat(32);
const hexDigits = new TextEncoder().encode("0123456789abcdef");

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
  const spelt = new Uint8Array(pageBytes * 2);
  const decoder = new TextDecoder();
  let text = "";
  let at = 0;
  const take = (digits: number): string => {
    if (at + digits > text.length) {
      crypto.getRandomValues(page);
      for (let i = 0; i < pageBytes; i++) {
        const byte = page[i]!;
        spelt[i * 2] = hexDigits[byte >> 4]!;
        spelt[i * 2 + 1] = hexDigits[byte & 15]!;
      }
      text = decoder.decode(spelt);
      at = 0;
    }
    at += digits;
    return text.slice(at - digits, at);
  };
  return {
    requestId: () => crypto.randomUUID(),
    // W3C calls all zero invalid. It will not happen, and must not be able to.
    traceId() {
      const hex = take(32);
      return hex === zeroes ? `${hex.slice(1)}1` : hex;
    },
    spanId() {
      const hex = take(16);
      return zeroes.startsWith(hex) ? `${hex.slice(1)}1` : hex;
    },
  };
}
