/** Counts over the last so many milliseconds, in constant space and time: what budgets and breakers reason about. */

/** Ten steps of a window: a tenth is how much of the past drops out at once, opossum's choice too. */
const buckets = 10;

/** Two counters that forget. Call `advance` (or any adder) with a clock that does not run backwards. */
export class SlidingWindow {
  readonly windowMs: number;
  readonly #bucketMs: number;
  readonly #first = new Float64Array(buckets);
  readonly #second = new Float64Array(buckets);
  #firstTotal = 0;
  #secondTotal = 0;
  /** Number of the newest bucket since the clock's zero; -1 before the first use. */
  #newest = -1;

  constructor(windowMs: number) {
    this.windowMs = windowMs;
    this.#bucketMs = windowMs / buckets;
  }

  get first(): number {
    return this.#firstTotal;
  }

  get second(): number {
    return this.#secondTotal;
  }

  addFirst(nowMs: number): void {
    this.advance(nowMs);
    this.#first[this.#newest % buckets]!++;
    this.#firstTotal++;
  }

  addSecond(nowMs: number): void {
    this.advance(nowMs);
    this.#second[this.#newest % buckets]!++;
    this.#secondTotal++;
  }

  /** Drops what has become too old. */
  advance(nowMs: number): void {
    const reached = Math.floor(nowMs / this.#bucketMs);
    if (reached <= this.#newest) return;
    const stale = this.#newest < 0 ? 0 : Math.min(buckets, reached - this.#newest);
    for (let i = 1; i <= stale; i++) {
      const at = (this.#newest + i) % buckets;
      this.#firstTotal -= this.#first[at]!;
      this.#secondTotal -= this.#second[at]!;
      this.#first[at] = 0;
      this.#second[at] = 0;
    }
    this.#newest = reached;
  }

  clear(): void {
    this.#first.fill(0);
    this.#second.fill(0);
    this.#firstTotal = 0;
    this.#secondTotal = 0;
  }
}
