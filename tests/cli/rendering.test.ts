import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeFailure } from "../../src/cli/failure.ts";
import { coloured, plain } from "../../src/cli/output.ts";
import { renderProblems } from "../../src/cli/problems.ts";
import { renderTable, shortDuration } from "../../src/cli/table.ts";
import { UsageError } from "../../src/cli/usage-error.ts";
import { MeshError } from "../../src/errors.ts";

describe("renderProblems()", () => {
  const problem = {
    code: "FM0101",
    severity: "error",
    file: "mesh.yaml",
    line: 2,
    column: 5,
    message: 'Unknown field "timeout"',
    suggestion: 'did you mean "timeouts"?',
  } as const;

  it("shows place, code, message, suggestion, the line and a caret below the column", () => {
    const sources = new Map([["mesh.yaml", "kind: X\n    timeout: 1s\n"]]);
    assert.equal(
      renderProblems([problem], sources),
      'mesh.yaml:2:5: error FM0101: Unknown field "timeout" (did you mean "timeouts"?)\n  2 |     timeout: 1s\n    |     ^',
    );
  });

  it("keeps tabs, so that the caret stays below its letter", () => {
    const lines = renderProblems([{ ...problem, line: 1, column: 2 }], new Map([["mesh.yaml", "\tx"]])).split("\n");
    assert.equal(lines[2], "    | \t^");
  });

  it("leaves out a line that it does not have, and a place that there is not", () => {
    assert.match(renderProblems([problem], new Map()), /^mesh\.yaml:2:5: error/);
    assert.match(renderProblems([{ ...problem, file: "published", line: 0 }], new Map()), /^published: error/);
  });
});

describe("renderTable()", () => {
  it("aligns columns by what is visible of them", () => {
    const columns = [{ heading: "NAME" }, { heading: "RPS", align: "right" }] as const;
    const table = renderTable(
      columns,
      [
        [coloured.red("a"), "1"],
        ["orders", "120"],
      ],
      plain,
    );
    assert.equal(table, `NAME    RPS\n${coloured.red("a")}         1\norders  120`);
  });
});

describe("shortDuration()", () => {
  it("uses the unit that reads best", () => {
    const spoken = [420, 3_000, 240_000, 7_200_000 * 2, 86_400_000 * 3].map(shortDuration);
    assert.deepEqual(spoken, ["420 ms", "3 s", "4 min", "4 h", "3 d"]);
  });
});

describe("describeFailure()", () => {
  it("gives 2 to what was not understood", () => {
    assert.deepEqual(describeFailure(new UsageError("what?"), plain), { text: "error: what?", exitCode: 2 });
  });

  it("gives 1 to what failed, with causes, code and advice", () => {
    const error = new MeshError("ERR_STORE_UNAVAILABLE", "Cannot read", {
      cause: new Error("refused"),
      advice: "start it",
    });
    assert.deepEqual(describeFailure(error, plain), {
      text: "error: Cannot read: refused [ERR_STORE_UNAVAILABLE]\ntry: start it",
      exitCode: 1,
    });
  });
});
