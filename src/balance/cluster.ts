/**
 * Everything this process knows about one service it calls: its endpoints, the load on them, and the budgets shared by all
 * calls to it. Lives as long as the process does; config and registry updates change its fields, never its identity.
 */
import type { ServiceKey } from "../control/snapshot.ts";
import type { BackendConfig } from "../policy/backend-config.ts";
import type { LimitState } from "../policy/limit.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import type { EndpointState } from "./endpoint.ts";
import { partition, type Choice } from "./pool.ts";

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
  /** The newest config applied: for what belongs to the pool and not to a request, such as how much of it may be ejected. */
  config: BackendConfig;
  /** Which endpoints a pick chooses from. Replaced by `refresh`. */
  readonly choice: Choice;
  /** Turn of round-robin. */
  cursor: number;
  /** Sorts the endpoints into available and ejected again: after a breaker, the membership or the config changed. */
  refresh(): void;
}

export interface ClusterInit {
  readonly key: ServiceKey;
  readonly config: BackendConfig;
  readonly retryBudget: RetryBudget;
  readonly limits: LimitState;
}

export class ServiceCluster implements Cluster {
  readonly key: ServiceKey;
  readonly service: string;
  readonly namespace: string;
  readonly retryBudget: RetryBudget;
  readonly limits: LimitState;
  endpoints: readonly EndpointState[] = [];
  isKnown = false;
  config: BackendConfig;
  cursor = 0;
  #choice: Choice;

  constructor(init: ClusterInit) {
    const slash = init.key.indexOf("/");
    this.key = init.key;
    this.namespace = init.key.slice(0, slash);
    this.service = init.key.slice(slash + 1);
    this.config = init.config;
    this.retryBudget = init.retryBudget;
    this.limits = init.limits;
    this.#choice = partition([], init.config.breaker.maxEjectedRatio);
  }

  get choice(): Choice {
    return this.#choice;
  }

  refresh(): void {
    this.#choice = partition(this.endpoints, this.config.breaker.maxEjectedRatio);
  }
}
