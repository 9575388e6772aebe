/**
 * Who may speak to the admin port. It is bound to loopback, which is not enough: a web page that the user of this machine
 * looks at can reach it too, by DNS rebinding or with a cross-site POST (L27; Linkerd CVE-2024-40632).
 */
import { MeshError } from "../errors.ts";
import { parseAuthority } from "../wire/authority.ts";

export interface AdminAccessOptions {
  /** Names besides loopback's under which the port is known, lower case. */
  readonly hosts?: readonly string[];
  /** Callers from other machines must present it as `Authorization: Bearer …`; without one they are refused. */
  readonly token?: string;
}

/** Why a request is refused, or null. `remoteAddress` is "unix" on a Unix socket; file permissions guard that one. */
export type AdminAccess = (request: Request, remoteAddress: string) => MeshError | null;

export function adminAccess(options: AdminAccessOptions): AdminAccess {
  const hosts = new Set(["localhost", "127.0.0.1", "[::1]", ...(options.hosts ?? [])]);
  const { token } = options;
  const isKnown = (authority: string): boolean => hosts.has(hostOf(authority));
  return (request, remoteAddress) => {
    const isUnix = remoteAddress === "unix";
    if (!isUnix && !isLoopback(remoteAddress)) {
      const given = request.headers.get("authorization") ?? "";
      if (token === undefined || !sameText(given, `Bearer ${token}`))
        return refusal("only callers on this machine may use the admin port");
    } else if (!isUnix && !isKnown(authorityOf(request))) {
      return refusal("the request is for another host than this machine");
    }
    const origin = request.headers.get("origin");
    if (origin !== null && !isKnown(origin.slice(origin.indexOf("//") + 2)))
      return refusal("web pages of other sites may not use the admin port");
    const site = request.headers.get("sec-fetch-site");
    if (site === "cross-site" || site === "same-site")
      return refusal("web pages of other sites may not use the admin port");
    return null;
  };
}

function refusal(why: string): MeshError {
  return new MeshError("ERR_PEER_FORBIDDEN", `Admin access refused: ${why}`, {
    advice: "Call http://127.0.0.1:PORT from this machine, or give the admin token",
  });
}

function authorityOf(request: Request): string {
  const start = request.url.indexOf("//") + 2;
  const end = request.url.indexOf("/", start);
  return end < 0 ? request.url.slice(start) : request.url.slice(start, end);
}

/** The host without its port; "" if the authority is none. */
function hostOf(authority: string): string {
  const text = parseAuthority(authority, 80) ?? "";
  const colon = text.lastIndexOf(":");
  return colon > text.lastIndexOf("]") ? text.slice(0, colon) : text;
}

/** As sockets report it: with IPv4 mapped into IPv6 where the listener is dual-stack. */
export function isLoopback(remoteAddress: string): boolean {
  const address = remoteAddress.startsWith("::ffff:") ? remoteAddress.slice(7) : remoteAddress;
  return address === "::1" || address.startsWith("127.");
}

/** Takes as long whichever character differs: the length is all that timing tells. */
function sameText(left: string, right: string): boolean {
  let difference = left.length ^ right.length;
  for (let i = 0; i < right.length; i++) difference |= left.charCodeAt(i) ^ right.charCodeAt(i);
  return difference === 0;
}
