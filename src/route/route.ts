/** 3 where: finds the service a request is for and the rule that decides how it gets there. */
import type { ServiceKey } from "../control/snapshot.ts";
import type { BackendConfig } from "../policy/backend-config.ts";
import type { HeaderFilter } from "./filters.ts";

/** Retry as an HTTPRoute rule or a BackendPolicy states it, resolved. */
export interface RetryConfig {
  /** Repeats after the first try (Gateway API counts so). Integer ≥ 0. */
  readonly retries: number;
  /** Statuses that are repeated if the method is idempotent. */
  readonly codes: ReadonlySet<number>;
  /** Waited before any repeat, jitter on top: the `backoff` of a document. @default 0 */
  readonly backoffMinMs?: number;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
}

export interface TimeoutConfig {
  /** All attempts together; 0: none. */
  readonly requestMs: number;
  /** One attempt; 0: none. */
  readonly backendRequestMs: number;
  /** Whether `requestMs` lasts to the end of the response body, or only to its head. @default true */
  readonly coversBody?: boolean;
}

/** One weighted destination of a rule. */
export interface Backend {
  /** null: an invalid reference; its share of the traffic answers 500 (Gateway API). */
  readonly service: ServiceKey | null;
  readonly weight: number;
  readonly requestFilter: HeaderFilter | null;
  readonly responseFilter: HeaderFilter | null;
  /** The policy of `service` in the same config version: what a request may hold on to without looking it up. */
  readonly config: BackendConfig;
}

/** A rule, compiled. Shared by all requests that match it. */
export interface RouteRule {
  /** "namespace/route" or "default" where no route is attached: the bounded label of metrics and logs. */
  readonly name: string;
  readonly backends: readonly Backend[];
  /** One per backend, in order: made with the rule so that choosing one allocates nothing. */
  readonly decisions: readonly RouteDecision[];
  readonly requestFilter: HeaderFilter | null;
  readonly responseFilter: HeaderFilter | null;
  readonly timeouts: TimeoutConfig;
  readonly retry: RetryConfig;
}

/** What `route()` adds to the exchange. */
export interface RouteDecision {
  readonly rule: RouteRule;
  readonly backend: Backend;
}
