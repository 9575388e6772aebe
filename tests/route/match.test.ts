import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { HeaderEdits } from "../../src/headers.ts";
import { applyHeaderFilter, compileHeaderFilter } from "../../src/route/filters.ts";
import { compileCondition, queryValue } from "../../src/route/match.ts";

describe("queryValue()", () => {
  const cases: readonly [string, string, string | null][] = [
    ["animal=whale", "animal", "whale"],
    ["a=1&animal=whale&b=2", "animal", "whale"],
    ["animal=whale&animal=dolphin", "animal", "whale"],
    ["animal=dog", "ANIMAL", null],
    ["", "a", null],
    ["a", "a", ""],
    ["a=", "a", ""],
    ["&&a=1&", "a", "1"],
    ["=x&a=1", "", "x"],
    ["a=b=c", "a", "b=c"],
    ["%61=%62+c", "a", "b c"],
    ["whaledolphin", "whale", null],
  ];
  for (const [query, name, expected] of cases) {
    it(`finds ${name} in "${query}"`, () => assert.equal(queryValue(query, name), expected));
  }

  it("equals URLSearchParams.get for any query", () => {
    const unit = fc.constantFrom("a", "b", "=", "&", "%", "+", "%41", "%c3%a9", "%ff", "%4", "?", "ä", "");
    const text = fc.array(unit, { maxLength: 12 }).map((units) => units.join(""));
    fc.assert(
      fc.property(text, (query) => {
        const params = new URLSearchParams(`?${query}`);
        const names = new Set([...params.keys(), "a", "b", ""]);
        for (const name of names) assert.equal(queryValue(query, name), params.get(name), `${name} in ${query}`);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("compileCondition()", () => {
  it("counts only the first entry of a name: headers in any case, query names in theirs", () => {
    const condition = compileCondition({
      headers: [
        { name: "Version", value: "one" },
        { name: "version", value: "two" },
      ],
      queryParams: [
        { name: "a", value: "1" },
        { name: "A", value: "2" },
        { name: "a", value: "3" },
      ],
    });
    assert.deepEqual(condition.headers, [{ name: "version", value: "one" }]);
    assert.deepEqual(condition.query, [
      { name: "a", value: "1" },
      { name: "A", value: "2" },
    ]);
  });
});

describe("applyHeaderFilter()", () => {
  const applied = (received: Record<string, string>, modifier: object): Record<string, string> => {
    const filter = compileHeaderFilter(
      [{ type: "RequestHeaderModifier", requestHeaderModifier: modifier }],
      "RequestHeaderModifier",
    );
    const edits = new HeaderEdits();
    applyHeaderFilter(filter!, edits);
    const headers = new Headers(received);
    edits.applyTo(headers);
    return Object.fromEntries(headers);
  };

  // The cases of HTTPRouteRequestHeaderModifier (Gateway API conformance).
  it("sets a new header", () =>
    assert.deepEqual(applied({ a: "1" }, { set: [{ name: "X-Header-Set", value: "v" }] }), {
      a: "1",
      "x-header-set": "v",
    }));
  it("overwrites on set, whatever the case", () =>
    assert.deepEqual(applied({ "X-HEADER-set": "old" }, { set: [{ name: "x-Header-Set", value: "v" }] }), {
      "x-header-set": "v",
    }));
  it("appends on add", () =>
    assert.deepEqual(
      applied({ "x-header-add": "some-other-value" }, { add: [{ name: "X-Header-Add", value: "add-appends-values" }] }),
      { "x-header-add": "some-other-value, add-appends-values" },
    ));
  it("adds what is absent", () =>
    assert.deepEqual(applied({}, { add: [{ name: "X-Header-Add", value: "v" }] }), { "x-header-add": "v" }));
  it("removes in any case", () =>
    assert.deepEqual(applied({ "x-header-remove": "v", b: "2" }, { remove: ["X-Header-REMOVE"] }), { b: "2" }));
  it("does several at once", () => {
    const modifier = {
      set: [
        { name: "X-Set-1", value: "1" },
        { name: "X-Set-2", value: "2" },
      ],
      add: [
        { name: "X-Add", value: "a" },
        { name: "X-Add", value: "b" },
      ],
      remove: ["X-Remove"],
    };
    assert.deepEqual(applied({ "x-remove": "x", "x-set-1": "old" }, modifier), {
      "x-set-1": "1",
      "x-set-2": "2",
      "x-add": "a, b",
    });
  });
  it("is nothing if no filter of that type does anything", () => {
    assert.equal(compileHeaderFilter([], "RequestHeaderModifier"), null);
    assert.equal(compileHeaderFilter(undefined, "RequestHeaderModifier"), null);
    assert.equal(
      compileHeaderFilter(
        [{ type: "ResponseHeaderModifier", responseHeaderModifier: { remove: ["a"] } }],
        "RequestHeaderModifier",
      ),
      null,
    );
  });
});
