/** The Prometheus text format, read back: for `stat`, the demo and tests. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What one page of `/metrics` said. */
export class Scrape {
  readonly samples: readonly Sample[];
  readonly types: ReadonlyMap<string, string>;
  readonly help: ReadonlyMap<string, string>;

  constructor(samples: readonly Sample[], types: ReadonlyMap<string, string>, help: ReadonlyMap<string, string>) {
    this.samples = samples;
    this.types = types;
    this.help = help;
  }

  /** Samples of `name` whose labels include all of `where`. */
  select(name: string, where: Readonly<Record<string, string>> = {}): readonly Sample[] {
    const wanted = Object.entries(where);
    return this.samples.filter((s) => s.name === name && wanted.every(([label, value]) => s.labels[label] === value));
  }

  /** Their sum; 0 if there is none. */
  sum(name: string, where: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const sample of this.select(name, where)) sum += sample.value;
    return sum;
  }

  /** The cumulative buckets of a histogram, all matching series added up, ascending by bound. */
  buckets(name: string, where: Readonly<Record<string, string>> = {}): readonly Bucket[] {
    const counts = new Map<number, number>();
    for (const { labels, value } of this.select(`${name}_bucket`, where)) {
      const bound = parseNumber(labels["le"] ?? "");
      if (bound !== null) counts.set(bound, (counts.get(bound) ?? 0) + value);
    }
    return [...counts].map(([bound, count]) => ({ bound, count })).sort((a, b) => a.bound - b.bound);
  }
}

export interface Bucket {
  readonly bound: number;
  /** Observations at or below `bound`. */
  readonly count: number;
}

/**
 * The value below which `ratio` of the observations lie, interpolated within its bucket as PromQL's `histogram_quantile`
 * does. NaN without observations. `earlier` buckets are taken off first: the quantile of the time in between.
 */
export function quantile(ratio: number, buckets: readonly Bucket[], earlier: readonly Bucket[] = []): number {
  const before = new Map(earlier.map(({ bound, count }) => [bound, count]));
  const counts = buckets.map(({ bound, count }) => ({ bound, count: Math.max(0, count - (before.get(bound) ?? 0)) }));
  const total = counts.at(-1)?.count ?? 0;
  if (total === 0) return NaN;
  const rank = ratio * total;
  const index = counts.findIndex(({ count }) => count >= rank && count > 0);
  const at = counts[index];
  if (at === undefined) return NaN;
  const below = counts[index - 1] ?? { bound: 0, count: 0 };
  // Nothing is known above the last finite bound but that it is above.
  if (at.bound === Infinity) return below.bound;
  return at.count === below.count
    ? at.bound
    : below.bound + (at.bound - below.bound) * ((rank - below.count) / (at.count - below.count));
}

/** @throws {SyntaxError} naming the line that is not in the format */
export function parsePrometheus(text: string): Scrape {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const help = new Map<string, string>();
  let number = 0;
  for (const line of text.split("\n")) {
    number++;
    if (line.trim() === "") continue;
    if (!line.startsWith("#")) {
      const sample = new SampleReader(line).read();
      if (sample === null) throw new SyntaxError(`Cannot parse metrics: line ${number} is not a sample: ${line}`);
      samples.push(sample);
      continue;
    }
    const [, keyword, name, ...rest] = line.split(" ");
    if (name === undefined) continue;
    if (keyword === "TYPE") types.set(name, rest.join(" "));
    else if (keyword === "HELP")
      help.set(
        name,
        rest.join(" ").replaceAll(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c)),
      );
  }
  return new Scrape(samples, types, help);
}

const namePattern = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const valuePattern = /"((?:[^"\\]|\\["\\n])*)"/y;

class SampleReader {
  readonly #line: string;
  #at = 0;

  constructor(line: string) {
    this.#line = line;
  }

  read(): Sample | null {
    const name = this.#match(namePattern)?.[0];
    if (name === undefined) return null;
    const labels: Record<string, string> = {};
    if (this.#take("{") && !this.#labels(labels)) return null;
    // Value, then an optional timestamp, which we have no use for.
    const fields = this.#line
      .slice(this.#at)
      .trim()
      .split(/[ \t]+/);
    const value = parseNumber(fields[0] ?? "");
    return value === null || fields.length > 2 ? null : { name, labels, value };
  }

  #labels(labels: Record<string, string>): boolean {
    while (!this.#take("}")) {
      const label = this.#match(namePattern)?.[0];
      if (label === undefined || !this.#take("=")) return false;
      const value = this.#match(valuePattern)?.[1];
      if (value === undefined) return false;
      labels[label] = value.replaceAll(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
      if (!this.#take(",") && this.#line[this.#at] !== "}") return false;
    }
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#line);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  #take(char: string): boolean {
    if (this.#line[this.#at] !== char) return false;
    this.#at++;
    return true;
  }
}

function parseNumber(text: string): number | null {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  if (text === "NaN") return NaN;
  const value = Number(text);
  return text === "" || Number.isNaN(value) ? null : value;
}
