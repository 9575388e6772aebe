/** What `serveConnection` (server-connection.ts) takes and gives back. */
import type { Clock } from "../clock.ts";
import type { MeshError } from "../errors.ts";
import type { Receive, WireLimits } from "./message.ts";
import type { Sweeper } from "./sweeper.ts";

export interface ServerConnectionOptions {
  readonly limits: WireLimits;
  readonly clock: Clock;
  /** One per process or listener: all its connections share one timer. */
  readonly sweeper: Sweeper;
  readonly receive: Receive;
  /** The reply to bytes that never became a request; the connection closes behind it. */
  readonly refuse: (error: MeshError) => Response;
  /** Largest request body; more is 413. @default Infinity */
  readonly maxBodyBytes?: number;
  /** Scheme of `request.url`. @default "http" */
  readonly scheme?: "http" | "https";
  /** Called once, when the socket is gone and no exchange of it is left. */
  readonly closed?: (connection: ServerConnection) => void;
}

/** One downstream connection being served. */
export interface ServerConnection {
  /** True while no request is being received or answered. */
  readonly isIdle: boolean;
  /** Answers what is in flight with `connection: close`, closes at once if idle. Tunnels live on until `destroy`. */
  drain(): void;
  /** Cuts the connection; its exchange is aborted with `reason`. */
  destroy(reason: MeshError): void;
}
