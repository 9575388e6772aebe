/**
 * The signatures of this folder's entry points, in one place for those who assemble them:
 *
 * - `sendOverWire(deps: SendOverWireDeps): Handler<Dispatched>` (wire-transport.ts)
 * - `wireFetch(transport, options?: WireFetchOptions): WireFetch` (wire-fetch.ts)
 * - `serveFetch(transport, listen: ListenOptions, handler: FetchHandler, options?: ServeFetchOptions): Promise<FetchServer>` (serve-fetch.ts)
 */
import type { Clock } from "../clock.ts";
import type { MeshError } from "../errors.ts";
import type { Dispatched } from "../exchange.ts";
import type { ByteSocket, ConnectTls, ListenEvents, TlsIdentity, TlsTrust } from "../runtime/contract.ts";
import type { WireLimits } from "../wire/message.ts";
import type { ConnectionPool } from "../wire/pool.ts";
import type { Dial } from "../wire/pool-options.ts";

export interface SendOverWireDeps {
  readonly pool: ConnectionPool;
  readonly clock: Clock;
  /** Where, as whom and within which limits to connect. Must return the same object while none of that has changed. */
  readonly dial: (x: Dispatched) => Dial;
}

export interface WireFetchOptions {
  /** For https URLs: roots that are believed, and our own certificate if any. The server name comes from the URL. */
  readonly tls?: ConnectTls;
  /** @default 2000 */
  readonly connectTimeoutMs?: number;
  readonly limits?: WireLimits;
  readonly clock?: Clock;
}

/** `fetch` as far as our own clients need it: no redirects, no decoding, no cookies. Aborts with `request.signal`. */
export interface WireFetch {
  (request: Request): Promise<Response>;
  /** Closes idle connections and forgets them. */
  close(): void;
}

export interface RequestFacts {
  readonly socket: ByteSocket;
}

export type FetchHandler = (request: Request, facts: RequestFacts) => Response | Promise<Response>;

export interface ServeFetchOptions {
  readonly limits?: WireLimits;
  readonly clock?: Clock;
  /** @default 1048576 */
  readonly maxBodyBytes?: number;
  readonly events?: ListenEvents;
  /** The reply to a malformed request and to a handler that threw. @default a problem body with the error's code */
  readonly refuse?: (error: MeshError) => Response;
}

export interface FetchServer {
  readonly address: string;
  readonly port: number;
  rotate(identity: TlsIdentity, trust: TlsTrust): void;
  /** Stops accepting, answers what is in flight, and resolves when the last connection is gone or `timeoutMs` has passed. */
  drain(timeoutMs: number): Promise<void>;
  /** Stops accepting and cuts what is left. */
  close(): Promise<void>;
}
