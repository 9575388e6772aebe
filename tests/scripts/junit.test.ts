import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseJunit, type TestCase } from "../../scripts/testing/junit.ts";

/** As the reporters write the same file, shortened: two tests in a suite, one of them failing, and a test with a step. */
const reports: Readonly<Record<string, string>> = {
  bun: `<testsuites name="bun test" tests="3"><testsuite name="tests/a.test.ts" file="tests/a.test.ts">
    <testsuite name="outer &quot;q&quot;" file="tests/a.test.ts" line="5">
      <testcase name="one" classname="outer" time="0.0009" file="tests/a.test.ts" />
      <testcase name="two" classname="outer" time="0.001" file="tests/a.test.ts"><failure type="E" message="1 !== 2">1 !== 2&#10;at x</failure></testcase>
      <testcase name="three" classname="outer" time="0"><skipped /></testcase>
    </testsuite></testsuite></testsuites>`,
  deno: `<testsuites name="deno test"><testsuite name="./tests/a.test.ts" tests="1">
      <testcase name="outer &quot;q&quot;" classname="./tests/a.test.ts" time="0.010" line="5" col="1"><failure message="1 test step failed">1 test step failed.</failure></testcase>
    </testsuite><testsuite name="ext:deno_node/testing.ts" tests="3">
      <testcase name="outer &quot;q&quot; &gt; one" classname="ext:deno_node/testing.ts" time="0.000"></testcase>
      <testcase name="outer &quot;q&quot; &gt; two" classname="ext:deno_node/testing.ts"><failure message="Uncaught">1 !== 2\nat x</failure></testcase>
      <testcase name="outer &quot;q&quot; &gt; three" classname="ext:deno_node/testing.ts"><skipped/></testcase>
    </testsuite></testsuites>`,
  node: `<testsuites><testsuite name="outer &quot;q&quot;" tests="3" failures="1">
      <testcase name="one" time="0.0009" classname="outer > q" file="/tests/a.test.ts"/>
      <testcase name="two" classname="outer" failure="1 -> 2"><failure type="testCodeFailure" message="1 -> 2">1 !== 2\nat x</failure></testcase>
      <testcase name="three" classname="outer"><skipped type="skipped" message="true"/></testcase>
    </testsuite><!-- tests 3 --></testsuites>`,
};

const leaves: readonly TestCase[] = [
  { name: 'outer "q" > one', outcome: "passed", detail: "" },
  { name: 'outer "q" > two', outcome: "failed", detail: "1 !== 2\nat x" },
  { name: 'outer "q" > three', outcome: "skipped", detail: "" },
];

describe("parseJunit()", () => {
  for (const [runtime, xml] of Object.entries(reports)) {
    it(`reads the same leaves from the report of ${runtime}`, () => {
      assert.deepEqual(parseJunit(xml, "tests/a.test.ts"), leaves);
    });
  }

  it("takes a report that is cut off for none", () => {
    assert.equal(parseJunit("<testsuites><testsuite name='x'>", "tests/a.test.ts"), undefined);
  });

  it("keeps a container that failed by itself, as a hook does", () => {
    const xml = (reports["deno"] ?? "").replace("1 test step failed.", "Error: hook");
    assert.deepEqual(parseJunit(xml, "tests/a.test.ts")?.[0], {
      name: 'outer "q"',
      outcome: "failed",
      detail: "Error: hook",
    });
  });

  it("does not count a file without tests, which Node reports as one that passed", () => {
    const xml = `<testsuites><testcase name="a.test.ts" time="0.001" classname="test" file="/tests/a.test.ts"/></testsuites>`;
    assert.deepEqual(parseJunit(xml, "tests/a.test.ts"), []);
  });
});
