import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually } from "../../../src/cli/demo/scrape.ts";

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
