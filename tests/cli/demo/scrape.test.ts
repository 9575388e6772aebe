import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually, parseMetrics, sum } from "../../../src/cli/demo/scrape.ts";

const page = `# HELP response_total Responses.
# TYPE response_total counter
response_total{direction="inbound",tls="true",classification="success"} 12
response_total{direction="inbound",tls="true",classification="failure"} 3
response_total{direction="outbound",tls="no_identity",classification="success"} 1e3
odd{text="a \\"b\\", c=\\"d\\"\\\\\\n"} 1
fetchmesh_config_version 4
`;

describe("parseMetrics()", () => {
  it("reads names, labels with escapes, and values", () => {
    const metrics = parseMetrics(page);
    assert.equal(metrics.length, 5);
    assert.deepEqual(metrics[3], { name: "odd", labels: { text: 'a "b", c="d"\\\n' }, value: 1 });
    assert.deepEqual(metrics[4], { name: "fetchmesh_config_version", labels: {}, value: 4 });
  });
});

describe("sum()", () => {
  it("adds the series whose labels are as wanted", () => {
    const metrics = parseMetrics(page);
    assert.equal(sum(metrics, "response_total", { direction: "inbound" }), 15);
    assert.equal(sum(metrics, "response_total"), 1015);
    assert.equal(sum(metrics, "absent"), 0);
  });
});

describe("eventually()", () => {
  it("asks again until there is something, failures included", async () => {
    let calls = 0;
    const result = await eventually(2_000, async () => {
      if (++calls === 1) throw new Error("not yet");
      return calls < 3 ? null : "there";
    });
    assert.equal(result?.found, "there");
    assert.equal(calls, 3);
  });

  it("gives up in time", async () => {
    assert.equal(await eventually(30, async () => null), null);
  });
});
