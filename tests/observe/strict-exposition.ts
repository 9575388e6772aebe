/**
 * The text format 0.0.4 as its grammar has it, checked line by line and independently of our own parser: what Prometheus
 * would refuse must not pass here.
 */
import assert from "node:assert/strict";

const helpPattern = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (?:[^\\\n]|\\\\|\\n)*$/;
const typePattern = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/;
const samplePattern =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*")(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*")*)\})? ([+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|Inf)|NaN)$/;
const labelPattern = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

interface Open {
  readonly name: string;
  readonly type: string;
}

export function assertStrictExposition(page: string): void {
  if (page === "") return;
  assert.ok(page.endsWith("\n"), "the last line must end with a line feed");
  const families = new Set<string>();
  const series = new Set<string>();
  const histograms = new Map<string, { le: number; count: number }[]>();
  const counts = new Map<string, number>();
  let open: Open | null = null;
  let helped: string | null = null;
  for (const line of page.slice(0, -1).split("\n")) {
    const help = helpPattern.exec(line);
    if (help !== null) {
      assert.ok(!families.has(help[1]!), `the family ${help[1]} comes twice or in two groups`);
      helped = help[1]!;
      continue;
    }
    const type = typePattern.exec(line);
    if (type !== null) {
      assert.equal(helped, type[1], "HELP and TYPE belong together");
      families.add(type[1]!);
      open = { name: type[1]!, type: type[2]! };
      continue;
    }
    const sample = samplePattern.exec(line);
    assert.ok(sample !== null, `not a line of the format: ${line}`);
    const [, name = "", labels = "", text = ""] = sample;
    assert.ok(open !== null, `a sample before any TYPE: ${line}`);
    const family: Open = open;
    const allowed =
      family.type === "histogram" ? ["_bucket", "_sum", "_count"].map((end) => family.name + end) : [family.name];
    assert.ok(allowed.includes(name), `${name} is not of the family ${family.name}`);
    assert.ok(!series.has(`${name}{${labels}}`), `a series comes twice: ${line}`);
    series.add(`${name}{${labels}}`);
    const value = text === "+Inf" ? Infinity : Number(text);
    if (family.type === "counter") assert.ok(value >= 0, `a counter below zero: ${line}`);
    if (family.type !== "histogram") continue;
    const pairs = [...labels.matchAll(labelPattern)].map(([, label = "", of = ""]) => [label, of] as const);
    const rest = `${family.name}|${pairs.filter(([label]) => label !== "le").join("|")}`;
    if (name.endsWith("_bucket")) {
      const le = pairs.find(([label]) => label === "le")?.[1];
      assert.ok(le !== undefined, `a bucket without le: ${line}`);
      const buckets = histograms.get(rest) ?? [];
      buckets.push({ le: le === "+Inf" ? Infinity : Number(le), count: value });
      histograms.set(rest, buckets);
    } else if (name.endsWith("_count")) counts.set(rest, value);
  }
  for (const [key, buckets] of histograms) {
    buckets.reduce((before, bucket) => {
      assert.ok(bucket.le > before.le && bucket.count >= before.count, `buckets do not ascend: ${key}`);
      return bucket;
    });
    assert.equal(buckets.at(-1)?.le, Infinity, `no +Inf bucket: ${key}`);
    assert.equal(buckets.at(-1)?.count, counts.get(key), `+Inf bucket and count differ: ${key}`);
  }
}
