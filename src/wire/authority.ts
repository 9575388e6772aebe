/** `Host` and the authority of a target, checked before anything reads them: what a runtime makes of "a/admin?" is a path. */

/** 1: letter, digit, "-", "_", "~"; 2: "." ; 0: everything else, percent and sub-delims included (no host name has them). */
const hostBytes = new Uint8Array(128);
for (const char of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~") hostBytes[char.charCodeAt(0)] = 1;
hostBytes[0x2e] = 2;

/**
 * `host[:port]` in lower case, without a trailing dot and without the scheme's default port, or null if it is not one.
 *
 * Stricter than RFC 3986: no userinfo, no percent-encoding, no empty label, port 1–65535.
 */
export function parseAuthority(text: string, defaultPort: number): string | null {
  const length = text.length;
  let at = text.charCodeAt(0) === 0x5b /* [ */ ? ipv6End(text) : nameEnd(text);
  if (at <= 0) return null;
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

/** Index after the "]" of an IP literal. Digits, letters a–f, ":" and "." only: zone ids mean nothing on the other side. */
function ipv6End(text: string): number {
  const end = text.indexOf("]");
  if (end < 3) return -1;
  let colons = 0;
  for (let at = 1; at < end; at++) {
    const code = text.charCodeAt(at);
    const lower = code | 0x20;
    if (code === 0x3a) colons++;
    else if (!((code >= 0x30 && code <= 0x39) || (lower >= 0x61 && lower <= 0x66) || code === 0x2e)) return -1;
  }
  return colons >= 2 ? end + 1 : -1;
}
