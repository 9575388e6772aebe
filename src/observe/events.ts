/** The one interface through which stations tell what happened. Metrics, logs and tap listen; nobody answers back. */
import type { EndpointState } from "../balance/endpoint.ts";
import type { Cluster } from "../balance/cluster.ts";
import type { MeshError } from "../errors.ts";
import type { Direction, Exchange } from "../exchange.ts";

export type BreakerPosition = "closed" | "open" | "half-open";
export type BreakerSource = "local" | "quorum" | "forced";

export interface Events {
  /** Accepted, nothing known yet. Paired with exactly one `requestFinished`. */
  requestStarted?(exchange: Exchange): void;
  /** Bytes that never became a request: refused while they were read. There is no exchange, and nothing in them is believed. */
  requestRefused?(direction: Direction, error: MeshError, remoteAddress: string): void;
  /** After the last byte of the reply, or its abort: status, flag, attempts, bytes and times are final. */
  requestFinished?(exchange: Exchange): void;
  /** One attempt ended: with a response (`error` null, `status` set) or without. */
  attemptFinished?(exchange: Exchange, endpoint: EndpointState, status: number, error: MeshError | null): void;
  retryPlanned?(exchange: Exchange, reason: string): void;
  retryRefused?(exchange: Exchange, reason: "budget" | "limit" | "unsafe" | "deadline"): void;
  breakerChanged?(
    cluster: Cluster,
    endpoint: EndpointState,
    from: BreakerPosition,
    to: BreakerPosition,
    source: BreakerSource,
  ): void;
  endpointsChanged?(cluster: Cluster): void;
  connectionOpened?(direction: Direction, encrypted: boolean): void;
  connectionClosed?(direction: Direction, encrypted: boolean): void;
  handshakeRefused?(direction: Direction, reason: string, remoteAddress: string): void;
  configApplied?(version: number, tookMs: number): void;
  configRefused?(version: number, reason: string): void;
  storeChanged?(isConnected: boolean): void;
  certificateChanged?(notAfterMs: number): void;
  certificateFailed?(reason: string): void;
}

/** One `Events` that tells several. Folded once: an event nobody listens to costs one undefined check. */
export function fanOut(listeners: readonly Events[]): Events {
  const names = new Set<keyof Events>();
  for (const listener of listeners) {
    for (const name of Object.keys(listener) as (keyof Events)[])
      if (typeof listener[name] === "function") names.add(name);
  }
  const joined: Record<string, (...facts: unknown[]) => void> = {};
  for (const name of names) {
    const calls = listeners.flatMap((listener) => {
      const call = listener[name] as ((...facts: unknown[]) => void) | undefined;
      return call === undefined ? [] : [call.bind(listener)];
    });
    joined[name] =
      calls.length === 1
        ? calls[0]!
        : (...facts) => {
            for (const call of calls) call(...facts);
          };
  }
  return joined;
}
