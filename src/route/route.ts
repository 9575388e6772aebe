/** 3 where: finds the service a request is for and the rule that decides how it gets there. */
import type { HeaderFilter } from "./filters.ts";
import type { ServiceKey } from "../control/snapshot.ts";

/** Retry as an HTTPRoute rule or a BackendPolicy states it, resolved. */
export interface RetryConfig {
  /** Repeats after the first try (Gateway API counts so). Integer ≥ 0. */
  readonly retries: number;
  /** Statuses that are repeated if the method is idempotent. */
  readonly codes: ReadonlySet<number>;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
}

export interface TimeoutConfig {
  /** All attempts together; 0: none. */
  readonly requestMs: number;
  /** One attempt; 0: none. */
  readonly backendRequestMs: number;
}

/** One weighted destination of a rule. */
export interface Backend {
  /** null: an invalid reference; its share of the traffic answers 500 (Gateway API). */
  readonly service: ServiceKey | null;
  readonly weight: number;
  readonly requestFilter: HeaderFilter | null;
  readonly responseFilter: HeaderFilter | null;
}

/** A rule, compiled. Shared by all requests that match it. */
export interface RouteRule {
  /** "namespace/route" or "default" where no route is attached: the bounded label of metrics and logs. */
  readonly name: string;
  readonly backends: readonly Backend[];
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
