/**
 * The few header fields a proxy itself must understand. The parser marks them while it reads, so that forwarding a message
 * never compares a name again.
 */
import { tokenBytes } from "./chars.ts";

export const OTHER = 0;
export const HOST = 1;
export const CONTENT_LENGTH = 2;
export const DATE = 3;
/** Forwarded; marked because two of them would be read as either one (L5). */
export const AUTHORIZATION = 4;
/** Kinds from here on belong to one connection or are answered by us: never copied to the next hop. */
export const FIRST_HOP = 8;
export const CONNECTION = 8;
export const TRANSFER_ENCODING = 9;
export const UPGRADE = 10;
export const KEEP_ALIVE = 11;
export const TE = 12;
export const PROXY = 13;
/** Answered by whoever faces the client (RFC 9110 §10.1.1 allows it), when its body is first wanted. */
export const EXPECT = 14;
/** Our loop counter: read, counted up and written anew at each hop. */
export const HOPS = 15;

/** RFC 9110 §7.6.1 and what it inherits from practice. The name of each field that ends at this hop. */
const kinds: readonly (readonly [name: string, kind: number])[] = [
  ["host", HOST],
  ["content-length", CONTENT_LENGTH],
  ["date", DATE],
  ["authorization", AUTHORIZATION],
  ["connection", CONNECTION],
  ["transfer-encoding", TRANSFER_ENCODING],
  ["upgrade", UPGRADE],
  ["keep-alive", KEEP_ALIVE],
  ["te", TE],
  ["proxy-connection", PROXY],
  ["proxy-authorization", PROXY],
  ["proxy-authenticate", PROXY],
  // RFC 9113 §3.1 retired it; sent on, it would invite an application to leave HTTP/1.1 inside our connection (h2c smuggling).
  ["http2-settings", PROXY],
  ["expect", EXPECT],
  ["x-mesh-hops", HOPS],
];

/** Names that are never forwarded, for those who hold platform `Headers`. */
export const hopByHopNames: ReadonlySet<string> = new Set(
  kinds.filter(([, kind]) => kind >= FIRST_HOP).map(([name]) => name),
);

/** By name length: at most two candidates share one. */
const byLength: (readonly { codes: Uint8Array; kind: number }[])[] = Array.from({ length: 20 }, (_, length) =>
  kinds
    .filter(([name]) => name.length === length)
    .map(([name, kind]) => ({ codes: Uint8Array.from(name, (c) => c.charCodeAt(0)), kind })),
);

/** What the field name at `bytes[from..to)` means to us. */
export function fieldKind(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from;
  if (length >= byLength.length) return OTHER;
  const candidates = byLength[length]!;
  for (let c = 0; c < candidates.length; c++) {
    const { codes, kind } = candidates[c]!;
    let i = 0;
    while (i < length && tokenBytes[bytes[from + i]!] === codes[i]) i++;
    if (i === length) return kind;
  }
  return OTHER;
}
