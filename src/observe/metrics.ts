/** All metrics of a process and the page that shows them. */
import type { Clock } from "../clock.ts";
import { helpLine, labelText, sampleLine } from "./exposition.ts";
import { Cell, Family, HistogramCell, type FamilyInit } from "./metric-family.ts";

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
