import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Registry } from "../../src/observe/metrics.ts";
import { parsePrometheus } from "../../src/observe/prometheus-text.ts";
import { TestClock } from "./exchanges.ts";
import { assertStrictExposition } from "./strict-exposition.ts";

describe("Registry", () => {
  it("exposes counters, gauges and histograms in the text format", () => {
    const registry = new Registry({ clock: new TestClock() });
    registry.counter("requests_total", "Requests.", ["code"]).cell("200").value += 3;
    registry.gauge("open", "Open now.").cell().value = -1.5;
    const took = registry.histogram("took_ms", "Time.", ["code"], [1, 10]).cell("200");
    for (const value of [0.5, 1, 1.5, 10, 11]) took.observe(value);
    const page = registry.expose();
    assert.equal(
      page,
      `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200"} 3
# HELP open Open now.
# TYPE open gauge
open -1.5
# HELP took_ms Time.
# TYPE took_ms histogram
took_ms_bucket{code="200",le="1"} 2
took_ms_bucket{code="200",le="10"} 4
took_ms_bucket{code="200",le="+Inf"} 5
took_ms_sum{code="200"} 24
took_ms_count{code="200"} 5
`,
    );
    assertStrictExposition(page);
  });

  it("resolves equal label values to the same cell", () => {
    const family = new Registry({ clock: new TestClock() }).counter("a_total", "A.", ["x", "y"]);
    assert.equal(family.cell("1", "2"), family.cell("1", "2"));
    assert.notEqual(family.cell("1", "2"), family.cell("2", "1"));
    assert.notEqual(family.cell('1",y="2', ""), family.cell("1", "2"), "values cannot break out of their quotes");
  });

  it("leaves out families that have nothing to say", () => {
    const registry = new Registry({ clock: new TestClock() });
    registry.counter("never_total", "Never.", ["x"]);
    registry.scraped("nothing", "Nothing.", "gauge", [], () => {});
    assert.equal(registry.expose(), "");
  });

  it("writes what any string does to labels and help so that it reads back the same", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string(), (value, help) => {
        const registry = new Registry({ clock: new TestClock() });
        registry.counter("a_total", help, ["x"]).cell(value).value++;
        const page = registry.expose();
        assertStrictExposition(page);
        const scrape = parsePrometheus(page);
        assert.equal(scrape.samples[0]?.labels["x"], value.toWellFormed().replaceAll("\0", ""));
        assert.equal(scrape.help.get("a_total"), help);
      }),
    );
  });

  it("counts series beyond the cap together as other", () => {
    const registry = new Registry({ clock: new TestClock(), maxSeries: 10 });
    const family = registry.counter("a_total", "A.", ["host", "code"]);
    for (let i = 0; i < 500; i++) family.cell(`host-${i}`, "200").value++;
    assert.equal(family.size, 10);
    const scrape = parsePrometheus(registry.expose());
    assert.equal(scrape.samples.length, 10);
    assert.equal(scrape.sum("a_total"), 500, "nothing is lost");
    assert.equal(scrape.sum("a_total", { host: "other", code: "other" }), 491);
    assert.equal(family.cell("host-3", "200").value, 1, "those that came first stay apart");
  });

  it("drops series that were idle for long, and tells whoever kept their cell", () => {
    const clock = new TestClock();
    const registry = new Registry({ clock });
    const family = registry.counter("a_total", "A.", ["x"], { idleMs: 600_000 });
    const [busy, idle] = [family.cell("busy"), family.cell("idle")];
    busy.value++;
    idle.value++;
    registry.expose();
    clock.advance(300_000);
    busy.value++;
    assert.equal(parsePrometheus(registry.expose()).samples.length, 2);
    clock.advance(300_000);
    const scrape = parsePrometheus(registry.expose());
    assert.deepEqual(
      scrape.samples.map(({ labels }) => labels["x"]),
      ["busy"],
    );
    assert.equal(idle.isLive, false);
    assert.equal(busy.isLive, true);
    assert.equal(family.cell("idle").value, 0, "it begins anew");
  });

  it("makes room for new series by dropping idle ones when a family is full", () => {
    const clock = new TestClock();
    const family = new Registry({ clock, maxSeries: 3 }).counter("a_total", "A.", ["x"], { idleMs: 600_000 });
    family.cell("old-1");
    family.cell("old-2");
    clock.advance(600_000);
    family.cell("new").value++;
    assert.equal(family.size, 1, "no `other` was needed");
  });

  it("reads scraped metrics when asked, each series once and no more than the cap", () => {
    const registry = new Registry({ clock: new TestClock(), maxSeries: 5 });
    let value = 1;
    registry.scraped("state", "State.", "gauge", ["x"], (emit) => {
      emit(value, "a");
      emit(9, "a");
      for (let i = 0; i < 100; i++) emit(i, `many-${i}`);
    });
    value = 2;
    const page = registry.expose();
    assertStrictExposition(page);
    assert.equal(parsePrometheus(page).samples.length, 5);
    assert.equal(parsePrometheus(page).sum("state", { x: "a" }), 2);
  });

  it("refuses a name that is taken or not a name", () => {
    const registry = new Registry({ clock: new TestClock() });
    registry.counter("a_total", "A.");
    assert.throws(() => registry.gauge("a_total", "A again."), RangeError);
    assert.throws(() => registry.gauge("a-b", "No name."), RangeError);
  });
});
