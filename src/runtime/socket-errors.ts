/**
 * System error codes as sentences and mesh codes. Shared by every transport that has real sockets below it.
 */
import { MeshError, type MeshErrorCode } from "../errors.ts";

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  ECONNABORTED: "connection aborted",
  EPIPE: "the peer closed the connection",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network unreachable",
  EHOSTDOWN: "host is down",
  ENETDOWN: "network is down",
  ETIMEDOUT: "connection timed out",
  ENOTFOUND: "host name not found",
  EAI_AGAIN: "host name lookup failed, try again",
  ENOENT: "no such socket file",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EADDRNOTAVAIL: "address not available on this machine",
  EINVAL: "address not usable on this machine",
  EMFILE: "too many open files in this process",
  ENFILE: "too many open files on this machine",
  ENOBUFS: "no buffer space",
};

/** `code` of a system error; the first of several for happy-eyeballs' aggregate. "" if there is none. */
export function systemCode(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const { code, errors } = error as { code?: unknown; errors?: unknown };
  if (typeof code === "string" && code !== "") return code;
  return Array.isArray(errors) && errors.length > 0 ? systemCode(errors[0]) : "";
}

/** What went wrong as a phrase without address or punctuation: "connection refused". */
export function describeSystemError(error: unknown): string {
  const code = systemCode(error);
  const known = reasons[code];
  if (known !== undefined) return known;
  const message = error instanceof Error ? error.message : String(error);
  return code === "" || message.includes(code) ? message : `${message} (${code})`;
}

/** A connect that failed before TLS began. Nothing was sent, so any request may be retried elsewhere. */
export function connectError(address: string, error: unknown): MeshError {
  const code: MeshErrorCode = systemCode(error) === "ETIMEDOUT" ? "ERR_CONNECT_TIMEOUT" : "ERR_CONNECT_FAILED";
  return new MeshError(code, `${address}: ${describeSystemError(error)}`, { sent: "nothing", cause: error });
}

/** A listen that failed; the message names the address and a way out. */
export function listenError(address: string, error: unknown): MeshError {
  const code = systemCode(error);
  if (code === "EADDRINUSE") {
    const what = address.startsWith("unix:")
      ? `${address} is taken by a running process or another file`
      : `port ${portOf(address)} is taken (${address})`;
    const way = address.startsWith("unix:") ? "choose another path" : "choose another, or port 0 for any free one";
    return new MeshError("ERR_OPTION_INVALID", `${what}: ${way}`, {
      advice: "stop the other process, or listen elsewhere",
      cause: error,
    });
  }
  const hint =
    // Deno says EINVAL.
    code === "EADDRNOTAVAIL" || code === "EINVAL"
      ? ": use an address of this machine, or 0.0.0.0 for all"
      : code === "EACCES"
        ? ": ports below 1024 need a privilege, choose a higher one"
        : code === "ENOTFOUND" || code === "EAI_AGAIN"
          ? ": write the address as numbers"
          : "";
  return new MeshError("ERR_OPTION_INVALID", `cannot listen on ${address}: ${describeSystemError(error)}${hint}`, {
    cause: error,
  });
}

/** "host:port", "[v6]:port" or "unix:/path". */
export function formatAddress(where: {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly path?: string | undefined;
}): string {
  if (where.path !== undefined) return `unix:${where.path}`;
  const host = where.host ?? "127.0.0.1";
  return `${host.includes(":") ? `[${host}]` : host}:${where.port ?? 0}`;
}

function portOf(address: string): string {
  return address.slice(address.lastIndexOf(":") + 1);
}
