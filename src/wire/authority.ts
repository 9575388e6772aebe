/**
 * `Host` and `:authority`, checked and made canonical before anything else reads them: routing, policy and `request.url` all
 * believe in what comes out of here. Names and addresses only; nothing that a URL parser could take for a path or a user.
 *
 * @see RFC 9112 §3.2 (an invalid Host is a 400), RFC 3986 §3.2.2; nginx `http_host.t` for what the world sends
 */

export interface Authority {
  /** Lower case, without the root's trailing dot; an IPv6 address keeps its brackets. */
  readonly host: string;
  /** null if none was written. */
  readonly port: number | null;
}

/** A DNS name has 253 characters at most (RFC 1035 §2.3.4). */
const maxHostLength = 253;

/** `host`, `host:port`, `[v6]`, `[v6]:port`. null for anything else, the empty string included. */
export function parseAuthority(text: string): Authority | null {
  const end = text.charCodeAt(0) === bracket ? endOfAddress(text) : endOfName(text);
  if (end <= 0) return null;
  const port = end === text.length ? null : portAt(text, end);
  if (port === undefined) return null;
  const host = text.charCodeAt(end - 1) === dot ? text.slice(0, end - 1) : text.slice(0, end);
  return { host: host.toLowerCase(), port };
}

/** The canonical text: what `RequestHead.authority` holds. */
export function formatAuthority(authority: Authority): string {
  return authority.port === null ? authority.host : `${authority.host}:${authority.port}`;
}

const dot = 0x2e;
const colon = 0x3a;
const bracket = 0x5b;

/** Where the name ends, or -1. Labels of letters, digits, `-` and `_` (Docker writes `_`); no empty label but the root's. */
function endOfName(text: string): number {
  let labelAt = 0;
  let i = 0;
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === colon) break;
    if (code !== dot) {
      if (!isNameCode(code)) return -1;
      continue;
    }
    if (i === labelAt || i - labelAt > 63) return -1;
    labelAt = i + 1;
  }
  if (i === 0 || i - labelAt > 63) return -1;
  const length = text.charCodeAt(i - 1) === dot ? i - 1 : i;
  return length > maxHostLength ? -1 : i;
}

function isNameCode(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2d ||
    code === 0x5f ||
    (code >= 0x41 && code <= 0x5a)
  );
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

/** What follows the host: ":" and digits, or ":" alone, which is no port (RFC 3986 §3.2.3). undefined if it is neither. */
function portAt(text: string, at: number): number | null | undefined {
  if (text.charCodeAt(at) !== colon || text.length - at > 6) return undefined;
  let port = 0;
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (!isDigit(code)) return undefined;
    port = port * 10 + code - 0x30;
  }
  if (at + 1 === text.length) return null;
  return port > 65_535 ? undefined : port;
}
