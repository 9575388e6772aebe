/**
 * Counters, gauges and histograms. A label set is resolved to a cell once and then counted with one addition; nothing is
 * looked up by a string that was put together per request.
 *
 * A family holds at most `maxSeries` cells: what comes later is counted together under `other`. No label value may come
 * from a request; the cap is for what we did not think of (Linkerd CVE-2025-43915).
 */
import type { Clock } from "../clock.ts";
import { helpLine, labelText, sampleLine } from "./exposition.ts";

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

interface FamilyInit<C> {
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

/** Writes one sample of a metric that is read when scraped. */
export type Emit = (value: number, ...labelValues: string[]) => void;

interface Scraped {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly labelNames: readonly string[];
  readonly read: (emit: Emit) => void;
}

export interface RegistryOptions {
  readonly clock: Clock;
  /** Series per family, `other` included. @default 1000 */
  readonly maxSeries?: number;
}

export interface SeriesOptions {
  /** Drop series unchanged for so long, as Linkerd does. 0: never. @default 0 */
  readonly idleMs?: number;
}

/** All metrics of a process, in the order they were declared. */
export class Registry {
  readonly #clock: Clock;
  readonly #maxSeries: number;
  readonly #families: (Family<Cell> | Family<HistogramCell> | Scraped)[] = [];
  readonly #names = new Set<string>();

  constructor(options: RegistryOptions) {
    this.#clock = options.clock;
    this.#maxSeries = options.maxSeries ?? 1000;
  }

  counter(name: string, help: string, labelNames: readonly string[] = [], options: SeriesOptions = {}): Family<Cell> {
    return this.#cells(name, help, "counter", labelNames, options);
  }

  gauge(name: string, help: string, labelNames: readonly string[] = [], options: SeriesOptions = {}): Family<Cell> {
    return this.#cells(name, help, "gauge", labelNames, options);
  }

  /** `bounds`: upper bounds, ascending, without +Inf. */
  histogram(
    name: string,
    help: string,
    labelNames: readonly string[],
    bounds: readonly number[],
    options: SeriesOptions = {},
  ): Family<HistogramCell> {
    const create = (labels: string): HistogramCell => new HistogramCell(labels, bounds);
    const family = new Family({ ...this.#base(name, help, labelNames, options), type: "histogram", create });
    this.#families.push(family);
    return family;
  }

  /** A metric whose values lie elsewhere and are read when scraped. Series beyond the cap are left out. */
  scraped(
    name: string,
    help: string,
    type: "counter" | "gauge",
    labelNames: readonly string[],
    read: (emit: Emit) => void,
  ): void {
    this.#claim(name);
    this.#families.push({ name, help, type, labelNames, read });
  }

  /** Everything in the Prometheus text format 0.0.4. */
  expose(): string {
    const nowMs = this.#clock.nowMs();
    const out: string[] = [];
    for (const family of this.#families) {
      const headAt = out.length;
      out.push(helpLine(family.name, family.help, family.type));
      if (family instanceof Family) {
        family.sweep(nowMs);
        for (const cell of family.cells()) expose(out, family.name, cell);
      } else {
        this.#read(out, family);
      }
      // A family without samples says nothing; its head alone would only be noise.
      if (out.length === headAt + 1) out.pop();
    }
    return out.join("");
  }

  #read(out: string[], family: Scraped): void {
    const seen = new Set<string>();
    family.read((value, ...labelValues) => {
      const labels = labelText(family.labelNames, labelValues);
      if (seen.size >= this.#maxSeries || seen.has(labels)) return;
      seen.add(labels);
      out.push(sampleLine(family.name, labels, value));
    });
  }

  #cells(
    name: string,
    help: string,
    type: "counter" | "gauge",
    labelNames: readonly string[],
    options: SeriesOptions,
  ): Family<Cell> {
    const create = (labels: string): Cell => new Cell(labels);
    const family = new Family({ ...this.#base(name, help, labelNames, options), type, create });
    this.#families.push(family);
    return family;
  }

  #base(
    name: string,
    help: string,
    labelNames: readonly string[],
    options: SeriesOptions,
  ): Omit<FamilyInit<never>, "type" | "create"> {
    this.#claim(name);
    return { name, help, labelNames, maxSeries: this.#maxSeries, idleMs: options.idleMs ?? 0, clock: this.#clock };
  }

  #claim(name: string): void {
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name)) {
      throw new RangeError(`Cannot register metric as its name is not valid: "${name}"`);
    }
    if (this.#names.has(name)) throw new RangeError(`Cannot register metric "${name}" as it exists already`);
    this.#names.add(name);
  }
}

function expose(out: string[], name: string, cell: Cell | HistogramCell): void {
  if (cell instanceof Cell) {
    out.push(sampleLine(name, cell.labels, cell.value));
    return;
  }
  const lead = cell.labels === "" ? "" : `${cell.labels},`;
  let below = 0;
  for (let i = 0; i < cell.bounds.length; i++) {
    below += cell.counts[i]!;
    out.push(sampleLine(`${name}_bucket`, `${lead}le="${cell.bounds[i]!}"`, below));
  }
  out.push(sampleLine(`${name}_bucket`, `${lead}le="+Inf"`, cell.count));
  out.push(sampleLine(`${name}_sum`, cell.labels, cell.sum));
  out.push(sampleLine(`${name}_count`, cell.labels, cell.count));
}
