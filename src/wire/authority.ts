/** `Host` and the authority of a target, checked before anything reads them: what a runtime makes of "a/admin?" is a path. */

/** RFC 1035 §2.3.4, and the root's dot. */
const MAX_HOST_LENGTH = 254;
/** 1: letter, digit, "-", "_", "~"; 2: "." ; 0: everything else, percent and sub-delims included (no host name has them). */
const hostBytes = new Uint8Array(128);
for (const char of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~")
  hostBytes[char.charCodeAt(0)] = 1;
hostBytes[0x2e] = 2;

/**
 * `host[:port]` in lower case, without a trailing dot and without the scheme's default port, or null if it is not one.
 *
 * Stricter than RFC 3986: no userinfo, no percent-encoding, no empty label, port 1–65535.
 */
export function parseAuthority(text: string, defaultPort: number): string | null {
  const length = text.length;
  let at = text.charCodeAt(0) === 0x5b /* [ */ ? endOfAddress(text) : nameEnd(text);
  if (at <= 0 || at > MAX_HOST_LENGTH) return null;
  const hostEnd = at > 1 && text.charCodeAt(at - 1) === 0x2e ? at - 1 : at;
  if (at === length) return text.slice(0, hostEnd).toLowerCase();
  if (text.charCodeAt(at) !== 0x3a || at + 1 === length) return null;
  let port = 0;
  for (at++; at < length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return null;
    port = port * 10 + digit;
    if (port > 65_535) return null;
  }
  if (port === 0) return null;
  const host = text.slice(0, hostEnd).toLowerCase();
  return port === defaultPort ? host : `${host}:${port}`;
}

/** Index after the host name, 0 or less if it is none. */
function nameEnd(text: string): number {
  let at = 0;
  // A label starts where no "." may stand.
  let wantsLabel = true;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const kind = code < 128 ? hostBytes[code] : 0;
    if (kind === 1) wantsLabel = false;
    else if (kind === 2) {
      if (wantsLabel) return -1;
      wantsLabel = true;
    } else if (code === 0x3a) break;
    else return -1;
  }
  return at;
}

/** Where the bracketed IPv6 address ends, or -1. No zone id: it means something on one machine only (RFC 6874 §1). */
function endOfAddress(text: string): number {
  const close = text.indexOf("]");
  return close > 0 && isIpv6(text.slice(1, close)) ? close + 1 : -1;
}

function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [index, half] of halves.entries()) {
    if (half === "") continue;
    const parts = half.split(":");
    for (const [at, part] of parts.entries()) {
      // An IPv4 address may stand for the last two groups, at the very end (RFC 4291 §2.2).
      const isLast = at === parts.length - 1 && index === halves.length - 1;
      if (isLast && part.includes(".")) {
        if (!isIpv4(part)) return false;
        groups += 2;
      } else {
        if (!isGroup(part)) return false;
        groups++;
      }
    }
  }
  // "::" stands for one group or more; a single empty half is "" alone, which is no address.
  return halves.length === 2 ? groups <= 7 : groups === 8;
}

function isGroup(text: string): boolean {
  if (text.length === 0 || text.length > 4) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i) | 0x20;
    if (!((code >= 0x61 && code <= 0x66) || isDigit(text.charCodeAt(i)))) return false;
  }
  return true;
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => isOctet(part));
}

function isOctet(text: string): boolean {
  if (text.length === 0 || text.length > 3 || (text.length > 1 && text.startsWith("0"))) return false;
  for (let i = 0; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return false;
  return Number(text) <= 255;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
