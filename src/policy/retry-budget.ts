/** How much of the traffic to one service may be repeats, so that a failing service is not drowned by its callers. */
import { SlidingWindow } from "./window.ts";

/** Linkerd's and Gateway API's `retryConstraint`, same defaults. */
export interface RetryBudgetConfig {
  /** Repeats per request. @default 0.2 */
  readonly ratio: number;
  /** Always allowed, for callers too quiet for a ratio to mean anything. @default 10 */
  readonly minPerSecond: number;
  /** What counts as recent. @default 10000 */
  readonly windowMs: number;
}

/**
 * The repeats of a window never exceed `ratio` of the requests in it plus `minPerSecond` for each of its seconds.
 * Counts, not tokens: an idle hour saves nothing up for a storm.
 */
export class RetryBudget {
  #config: RetryBudgetConfig;
  /** Requests first, repeats second. */
  #window: SlidingWindow;

  constructor(config: RetryBudgetConfig) {
    this.#config = config;
    this.#window = new SlidingWindow(config.windowMs);
  }

  /** Applies from now on; what was counted stays, unless the window itself changes. */
  configure(config: RetryBudgetConfig): void {
    if (config.windowMs !== this.#window.windowMs) this.#window = new SlidingWindow(config.windowMs);
    this.#config = config;
  }

  /** Whether the service was called within the window. */
  isInUse(nowMs: number): boolean {
    this.#window.advance(nowMs);
    return this.#window.first > 0;
  }

  /** A first attempt: what repeats are measured against. */
  request(nowMs: number): void {
    this.#window.addFirst(nowMs);
  }

  /** Takes one repeat out of the budget; false if there is none left. */
  tryRepeat(nowMs: number): boolean {
    const window = this.#window;
    window.advance(nowMs);
    const { ratio, minPerSecond, windowMs } = this.#config;
    if (window.second + 1 > ratio * window.first + (minPerSecond * windowMs) / 1_000) return false;
    window.addSecond(nowMs);
    return true;
  }
}
