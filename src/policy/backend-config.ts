/** How carefully a service is called: `BackendPolicy` resolved over the defaults, once per config version. */
import { parseDuration } from "../control/duration.ts";
import type { BackendPolicy, RetrySpec } from "../control/resources.ts";
import type { RetryConfig, TimeoutConfig } from "../route/route.ts";
import type { BreakerConfig } from "./breaker.ts";
import type { LimitConfig } from "./limit.ts";
import type { RetryBudgetConfig } from "./retry-budget.ts";

export type BalanceAlgorithm = "least-request" | "round-robin" | "random";

export interface BackendConfig {
  /** @default "least-request" */
  readonly algorithm: BalanceAlgorithm;
  readonly limits: LimitConfig;
  readonly breaker: BreakerConfig;
  readonly retry: RetryConfig;
  readonly retryBudget: RetryBudgetConfig;
  readonly timeouts: TimeoutConfig;
  /** From the first packet to the end of the TLS handshake. @default 2000 */
  readonly connectTimeoutMs: number;
}

/** Who has no policy gets these. Sources: Envoy's and Linkerd's defaults; where they differ, the reason is at the field. */
export const backendDefaults: BackendConfig = deepFreeze({
  algorithm: "least-request",
  limits: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: Infinity },
  breaker: {
    consecutiveFailures: 5,
    // opossum's and moleculer's 50 %, but not before there are enough answers for a ratio to mean something.
    failureRatio: 0.5,
    minRequests: 20,
    windowMs: 10_000,
    openMs: 30_000,
    maxOpenMs: 300_000,
    // Envoy's 10 % would keep one of two sick endpoints in service; half a pool is where its panic mode starts anyway.
    maxEjectedRatio: 0.5,
    isShared: true,
    // Two of up to twenty callers, five of fifty: a larger share would give back the head start that sharing is for.
    quorum: 0.1,
  },
  // Gateway API counts repeats. Envoy's 25 ms base, capped at ten times it.
  retry: { retries: 2, codes: new Set([502, 503, 504]), backoffBaseMs: 25, backoffMaxMs: 250 },
  retryBudget: { ratio: 0.2, minPerSecond: 10, windowMs: 10_000 },
  // Envoy's 15 s, but only for the head: as a default nobody chose it must not cut a long download in two.
  timeouts: { requestMs: 15_000, backendRequestMs: 0, coversBody: false },
  connectTimeoutMs: 2_000,
} satisfies BackendConfig);

/** Later policies win, field by field. Never called per request. */
export function resolveBackend(...policies: readonly BackendPolicy[]): BackendConfig {
  if (policies.length === 0) return backendDefaults;
  return deepFreeze(policies.reduce((config, policy) => override(config, policy.spec), backendDefaults));
}

function override(config: BackendConfig, spec: BackendPolicy["spec"]): BackendConfig {
  const { balance, limits, breaker, retry, retryBudget, timeouts } = spec;
  return {
    algorithm: balance?.algorithm ?? config.algorithm,
    limits: {
      maxConnections: limits?.maxConnections ?? config.limits.maxConnections,
      maxPendingRequests: limits?.maxPendingRequests ?? config.limits.maxPendingRequests,
      maxRequests: limits?.maxRequests ?? config.limits.maxRequests,
      maxRetries: limits?.maxRetries ?? config.limits.maxRetries,
    },
    breaker: {
      consecutiveFailures: breaker?.consecutiveFailures ?? config.breaker.consecutiveFailures,
      failureRatio: breaker?.failureRatio ?? config.breaker.failureRatio,
      minRequests: breaker?.minRequests ?? config.breaker.minRequests,
      windowMs: durationOf(breaker?.window) ?? config.breaker.windowMs,
      openMs: durationOf(breaker?.openFor) ?? config.breaker.openMs,
      maxOpenMs: durationOf(breaker?.maxOpenFor) ?? config.breaker.maxOpenMs,
      maxEjectedRatio: percentOf(breaker?.maxEjectionPercent) ?? config.breaker.maxEjectedRatio,
      isShared: breaker?.shared ?? config.breaker.isShared,
      quorum: breaker?.quorum ?? config.breaker.quorum,
    },
    retry: resolveRetry(retry, config.retry),
    retryBudget: {
      ratio: percentOf(retryBudget?.percent) ?? config.retryBudget.ratio,
      minPerSecond: retryBudget?.minRetriesPerSecond ?? config.retryBudget.minPerSecond,
      windowMs: durationOf(retryBudget?.interval) ?? config.retryBudget.windowMs,
    },
    timeouts: resolveTimeouts(timeouts, config.timeouts),
    connectTimeoutMs: durationOf(timeouts?.connect) ?? config.connectTimeoutMs,
  };
}

/** A rule's or a policy's `retry` over what it inherits; its `backoff` is the least wait (Gateway API), jitter comes on top. */
export function resolveRetry(spec: RetrySpec | undefined, inherited: RetryConfig): RetryConfig {
  if (spec === undefined) return inherited;
  return {
    ...inherited,
    retries: spec.attempts ?? inherited.retries,
    codes: spec.codes === undefined ? inherited.codes : new Set(spec.codes),
    backoffMinMs: durationOf(spec.backoff) ?? inherited.backoffMinMs ?? 0,
  };
}

export interface TimeoutsSpec {
  readonly request?: string | undefined;
  readonly backendRequest?: string | undefined;
}

export function resolveTimeouts(spec: TimeoutsSpec | undefined, inherited: TimeoutConfig): TimeoutConfig {
  if (spec === undefined) return inherited;
  const requestMs = durationOf(spec.request);
  return {
    requestMs: requestMs ?? inherited.requestMs,
    backendRequestMs: durationOf(spec.backendRequest) ?? inherited.backendRequestMs,
    coversBody: requestMs !== undefined || inherited.coversBody !== false,
  };
}

function durationOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : (parseDuration(text) ?? undefined);
}

function percentOf(percent: number | undefined): number | undefined {
  return percent === undefined ? undefined : percent / 100;
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value))
    if (typeof part === "object" && part !== null && !(part instanceof Set)) deepFreeze(part as object);
  return Object.freeze(value);
}
