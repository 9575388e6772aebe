/** Requests over the platform's `fetch` and its bindings: the transport of the edge, and of applications that bring their own. */
import { MeshError } from "../errors.ts";
import type { Capabilities, FetchTransport } from "./contract.ts";
import { edgeCapabilities } from "./edge.ts";

/** Anything with the platform's `fetch`: a service binding, an mTLS certificate binding, an application's own client. */
export interface Fetcher {
  fetch(request: Request): Promise<Response>;
}

export interface FetchTransportOptions {
  /** @default the platform's `fetch`, looked up when a request is sent */
  readonly fetch?: (request: Request) => Promise<Response>;
  /** Addresses that are reached through a binding instead, by `host:port` or by host. */
  readonly bindings?: Readonly<Record<string, Fetcher>>;
  /** @default what the edge cannot do */
  readonly capabilities?: Capabilities;
}

/**
 * Sends requests by `fetch`. The address replaces scheme, host and port of the request's URL; path and query stay.
 *
 * - Redirects are handed back, never followed.
 * - `host` is the address's unless the platform lets it be overridden: fetch standard §4.6 forbids it, Bun and workerd allow it.
 * - Whether a failed request reached the upstream is unknown on most platforms: only a failure that names its cause as a
 *   connect error counts as `sent: "nothing"`, all others as `sent: "head"`.
 */
export function fetchTransport(options: FetchTransportOptions = {}): FetchTransport {
  const { bindings = {}, capabilities = edgeCapabilities } = options;
  return {
    kind: "fetch",
    name: "platform fetch",
    capabilities,
    async fetch(request, address) {
      const target = retarget(request.url, address);
      const fetcher = bindings[target.host] ?? bindings[target.hostname];
      // Rebuilt only where it must be: the platform forgets the length of a body that passes through `body`.
      const outgoing =
        target.href === request.url && request.redirect === "manual" ? request : rebuild(request, target);
      try {
        if (fetcher !== undefined) return await fetcher.fetch(outgoing);
        // Looked up late: tests and instrumentation replace it. Called bare: workerd refuses a foreign `this`.
        return await (options.fetch === undefined ? globalThis.fetch(outgoing) : options.fetch(outgoing));
      } catch (error) {
        throw failure(address, error, request.signal);
      }
    },
  };
}

function retarget(url: string, address: string): URL {
  let origin: URL;
  try {
    origin = new URL(address);
  } catch (error) {
    throw new MeshError("ERR_OPTION_INVALID", `"${address}" is no address: write http://host:port`, { cause: error });
  }
  const target = new URL(url);
  target.protocol = origin.protocol;
  target.hostname = origin.hostname;
  target.port = origin.port;
  return target;
}

function rebuild(request: Request, target: URL): Request {
  const init: RequestInit & { duplex?: "half" } = {
    method: request.method,
    headers: request.headers,
    redirect: "manual",
    signal: request.signal,
  };
  if (request.body !== null) {
    init.body = request.body;
    // A streaming upload must be announced (fetch standard §5.4).
    init.duplex = "half";
  }
  return new Request(target, init);
}

/** What Node (undici), Bun and Deno call "there was never a connection". workerd names nothing, so there all stays uncertain. */
const neverConnected: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ConnectionRefused: "connection refused",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network unreachable",
  EADDRNOTAVAIL: "address not available on this machine",
  ENOTFOUND: "host name not found",
  EAI_AGAIN: "host name lookup failed, try again",
  DNSResolveFailed: "host name not found",
  FailedToOpenSocket: "no connection",
  UND_ERR_CONNECT_TIMEOUT: "connection timed out",
};

function failure(address: string, error: unknown, signal: AbortSignal): unknown {
  // The caller's own reason, unchanged: whoever aborted knows why.
  if (signal.aborted) return signal.reason;
  const reason = connectFailure(error, 0);
  if (reason !== null) {
    return new MeshError("ERR_CONNECT_FAILED", `${address}: ${reason}`, { sent: "nothing", cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new MeshError("ERR_UPSTREAM_RESET", `${address}: ${message}`, { sent: "head", cause: error });
}

/** The reason lies one or two causes down: undici and Deno wrap what the socket said. */
function connectFailure(error: unknown, depth: number): string | null {
  if (typeof error !== "object" || error === null || depth > 3) return null;
  const { code, cause, errors, message } = error as {
    code?: unknown;
    cause?: unknown;
    errors?: unknown;
    message?: unknown;
  };
  const known = typeof code === "string" ? neverConnected[code] : undefined;
  if (known !== undefined) return known;
  // Deno has no codes, but hyper's connector says so when it was the connecting that failed.
  if (typeof message === "string" && message.includes("client error (Connect)")) {
    return message.includes("refused")
      ? "connection refused"
      : message.includes("dns error")
        ? "host name not found"
        : "no connection";
  }
  return connectFailure(cause ?? (Array.isArray(errors) ? errors[0] : undefined), depth + 1);
}
