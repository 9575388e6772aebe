/** One address that can serve a service, and what this process has learnt about it. State survives config swaps. */
import type { BreakerState } from "../policy/breaker.ts";

/** What is known of an endpoint from the registry or a `Service` document. Immutable; replaced when it changes. */
export interface EndpointRecord {
  /** `host:port` of the inbound listener (or of the plain server, see `identity`). */
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** Registry instance id; null for static endpoints. */
  readonly instance: string | null;
  readonly zone: string | null;
  /** Relative share, integer ≥ 0; 0 receives nothing. */
  readonly weight: number;
  /** SPIFFE ID the peer must prove; null: plaintext endpoint outside the mesh. */
  readonly identity: string | null;
}

export class EndpointState {
  record: EndpointRecord;
  /** Attempts whose response is not complete yet: the load that least-request compares. */
  inFlight = 0;
  /** Peak-sensitive moving average of time to response head; 0 until measured. */
  latencyEwmaMs = 0;
  /** When the average was last updated, Clock.nowMs(). */
  latencyAtMs = 0;
  readonly breaker: BreakerState;
  /** Cleared when the registry drops it; requests in flight finish. */
  isListed = true;
  /** Out of the choice because of its breaker. An open one stays in if the pool cannot spare it. */
  isEjected = false;

  constructor(record: EndpointRecord, breaker: BreakerState) {
    this.record = record;
    this.breaker = breaker;
  }
}
