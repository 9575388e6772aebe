/**
 * Counters, gauges and histograms. A label set is resolved to a cell once and then counted with one addition; nothing is
 * looked up by a string that was put together per request.
 *
 * A family holds at most `maxSeries` cells: what comes later is counted together under `other`. No label value may come
 * from a request; the cap is for what we did not think of (Linkerd CVE-2025-43915).
 */
import type { Clock } from "../clock.ts";
import { labelText } from "./exposition.ts";

export type MetricType = "counter" | "gauge" | "histogram";

/** A number of one series. Plain field: the hot path writes `cell.value++`. */
export class Cell {
  value = 0;
  /** False once the series was dropped for idleness: whoever kept the cell must resolve it again. */
  isLive = true;
  readonly labels: string;

  constructor(labels: string) {
    this.labels = labels;
  }

  get total(): number {
    return this.value;
  }
}

/** One series of a histogram. `counts[i]` is what fell at or below `bounds[i]` and above the bound before. */
export class HistogramCell {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;
  isLive = true;
  readonly labels: string;

  constructor(labels: string, bounds: readonly number[]) {
    this.labels = labels;
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  get total(): number {
    return this.count;
  }

  observe(value: number): void {
    const { bounds } = this;
    // Linear: most of a mesh's latencies lie in the first third of the bounds, where it beats a binary search.
    let index = 0;
    while (index < bounds.length && value > bounds[index]!) index++;
    this.counts[index]!++;
    this.sum += value;
    this.count++;
  }
}

interface AnyCell {
  readonly labels: string;
  readonly total: number;
  isLive: boolean;
}

interface Entry<C> {
  readonly cell: C;
  lastTotal: number;
  changedAtMs: number;
}

export interface FamilyInit<C> {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly labelNames: readonly string[];
  readonly maxSeries: number;
  /** 0: series stay for ever. */
  readonly idleMs: number;
  readonly clock: Clock;
  readonly create: (labels: string) => C;
}

/** A metric with its series. */
export class Family<C extends AnyCell> {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly #init: FamilyInit<C>;
  readonly #entries = new Map<string, Entry<C>>();
  #other: C | null = null;
  #sweptAtMs = 0;

  constructor(init: FamilyInit<C>) {
    this.name = init.name;
    this.help = init.help;
    this.type = init.type;
    this.#init = init;
  }

  get size(): number {
    return this.#entries.size + (this.#other === null ? 0 : 1);
  }

  /** The cell of these label values, in the order of the label names. Resolve once, keep the cell. */
  cell(...values: string[]): C {
    const { labelNames, maxSeries, clock, create, idleMs } = this.#init;
    const labels = labelText(labelNames, values);
    const entry = this.#entries.get(labels);
    if (entry !== undefined) return entry.cell;
    const nowMs = clock.nowMs();
    // One place is `other`'s. When full, idle series make room, at most once a minute: a flood must not buy a sweep each.
    if (this.#entries.size >= maxSeries - 1) {
      if (idleMs === 0 || nowMs - this.#sweptAtMs < 60_000) return this.#overflow();
      this.sweep(nowMs);
      if (this.#entries.size >= maxSeries - 1) return this.#overflow();
    }
    const cell = create(labels);
    this.#entries.set(labels, { cell, lastTotal: 0, changedAtMs: nowMs });
    return cell;
  }

  /** Drops series that did not change for `idleMs`. */
  sweep(nowMs: number): void {
    const { idleMs } = this.#init;
    if (idleMs === 0) return;
    this.#sweptAtMs = nowMs;
    for (const [labels, entry] of this.#entries) {
      const { total } = entry.cell;
      if (total !== entry.lastTotal) {
        entry.lastTotal = total;
        entry.changedAtMs = nowMs;
      } else if (nowMs - entry.changedAtMs >= idleMs) {
        entry.cell.isLive = false;
        this.#entries.delete(labels);
      }
    }
  }

  *cells(): Iterable<C> {
    for (const entry of this.#entries.values()) yield entry.cell;
    if (this.#other !== null) yield this.#other;
  }

  #overflow(): C {
    const { labelNames, create } = this.#init;
    return (this.#other ??= create(
      labelText(
        labelNames,
        labelNames.map(() => "other"),
      ),
    ));
  }
}
