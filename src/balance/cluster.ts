/**
 * Everything this process knows about one service it calls: its endpoints, the load on them, and the budgets shared by all
 * calls to it. Lives as long as the process does; config and registry updates change its fields, never its identity.
 */
import type { ServiceKey } from "../control/snapshot.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import type { LimitState } from "../policy/limit.ts";
import type { EndpointState } from "./endpoint.ts";

export interface Cluster {
  readonly key: ServiceKey;
  readonly service: string;
  readonly namespace: string;
  /** Replaced as a whole when membership changes: an iteration under way keeps its array. */
  endpoints: readonly EndpointState[];
  readonly retryBudget: RetryBudget;
  readonly limits: LimitState;
  /** Registry or a document has named it: distinguishes "no healthy endpoint" (503/UH) from "unknown" (404/NR). */
  isKnown: boolean;
}
