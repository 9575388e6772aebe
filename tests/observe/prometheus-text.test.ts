import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Registry } from "../../src/observe/metrics.ts";
import { parsePrometheus, quantile } from "../../src/observe/prometheus-text.ts";
import { TestClock } from "./exchanges.ts";

describe("parsePrometheus()", () => {
  it("reads the example of the format's documentation", () => {
    const scrape = parsePrometheus(`# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find file:\\n\\"FILE.TXT\\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
rpc_duration_seconds{quantile="0.01",} NaN
`);
    assert.equal(scrape.types.get("http_requests_total"), "counter");
    assert.equal(scrape.sum("http_requests_total"), 1030);
    assert.equal(scrape.sum("http_requests_total", { code: "400" }), 3);
    const [file] = scrape.select("msdos_file_access_time_seconds");
    assert.deepEqual({ ...file?.labels }, { path: "C:\\DIR\\FILE.TXT", error: 'Cannot find file:\n"FILE.TXT"' });
    assert.equal(file?.value, 1458255915);
    assert.equal(scrape.sum("something_weird"), Infinity);
    assert.ok(Number.isNaN(scrape.select("rpc_duration_seconds")[0]?.value));
  });

  for (const line of [
    "a b",
    "a{x=1} 2",
    'a{x="1" y="2"} 3',
    'a{x="1"',
    "a",
    "1a 2",
    "a 1 2 3",
    'a{x="\\q"} 1',
    "a{} 0x",
  ]) {
    it(`refuses the line ${JSON.stringify(line)}`, () => {
      assert.throws(() => parsePrometheus(`ok 1\n${line}\n`), /line 2/);
    });
  }
});

describe("quantile()", () => {
  const clock = new TestClock();
  const registry = new Registry({ clock });
  const family = registry.histogram("took", "Took.", ["x"], [10, 20, 40]);

  it("interpolates within the bucket, over all series that match", () => {
    for (let i = 0; i < 50; i++) family.cell("a").observe(5);
    for (let i = 0; i < 50; i++) family.cell("b").observe(15);
    const buckets = parsePrometheus(registry.expose()).buckets("took");
    assert.equal(quantile(0.5, buckets), 10);
    assert.equal(quantile(0.75, buckets), 15);
    assert.equal(quantile(0.5, parsePrometheus(registry.expose()).buckets("took", { x: "b" })), 15);
  });

  it("sees only what came after an earlier scrape", () => {
    const earlier = parsePrometheus(registry.expose()).buckets("took");
    for (let i = 0; i < 10; i++) family.cell("a").observe(30);
    const later = parsePrometheus(registry.expose()).buckets("took");
    assert.equal(quantile(0.5, later, earlier), 30);
    assert.ok(Number.isNaN(quantile(0.5, later, later)), "nothing happened in between");
  });

  it("says the highest bound for what lies above it", () => {
    family.cell("c").observe(1e9);
    assert.equal(quantile(0.99, parsePrometheus(registry.expose()).buckets("took", { x: "c" })), 40);
  });
});
