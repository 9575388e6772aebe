/** What `ConnectionPool` (pool.ts) takes, and how somebody says where to connect. */
import type { Clock } from "../clock.ts";
import type { ConnectOptions, SocketTransport } from "../runtime/contract.ts";
import type { WireLimits } from "./message.ts";
import type { Sweeper } from "./sweeper.ts";

/** One set of interchangeable connections. Make it once per endpoint and certificate generation, not per request. */
export interface Dial {
  /** Address, expected identity and certificate generation: connections are shared by equal keys only. */
  readonly key: string;
  readonly connect: ConnectOptions;
  /** @default PoolOptions.maxConnections */
  readonly maxConnections?: number;
  /** @default PoolOptions.maxPending */
  readonly maxPending?: number;
}

export interface PoolOptions {
  readonly transport: SocketTransport;
  readonly limits: WireLimits;
  readonly clock: Clock;
  readonly sweeper: Sweeper;
  /** Unused connections are closed after this. Below every common server's own (Node 5 s is learnt from `Keep-Alive`). @default 30000 */
  readonly idleTimeoutMs?: number;
  /** Per key. @default 1024 */
  readonly maxConnections?: number;
  /** Requests waiting for a connection, per key; more are ERR_OVERLOADED. @default 1024 */
  readonly maxPending?: number;
  /** For metrics. */
  readonly opened?: (encrypted: boolean) => void;
  readonly closed?: (encrypted: boolean) => void;
}
