import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { canonicalPaths } from "../../src/identity/canonical-path.ts";

describe("canonicalPaths()", () => {
  for (const path of [
    "/",
    "/admin",
    "/api/v1/users",
    "/a-b_c~d/e.f",
    "/a/b/",
    "/x.y/z..",
    "/q=1&r",
    "/a:b@c!$'()*+,",
  ]) {
    it(`canonicalPaths() reads ${path} in one way only`, () => assert.deepEqual(canonicalPaths(path), [path]));
  }

  const readings: readonly [string, readonly string[]][] = [
    ["//admin", ["//admin", "/admin"]],
    ["/./admin", ["/./admin", "/admin"]],
    ["/api/../admin", ["/api/../admin", "/admin"]],
    ["/%61dmin", ["/%61dmin", "/admin"]],
    ["/a/.", ["/a/.", "/a/"]],
    ["/a/b/..", ["/a/b/..", "/a/"]],
    ["/admin;x=1", ["/admin;x=1", "/admin"]],
    ["/\\admin", ["/\\admin", "//admin", "/admin"]],
  ];
  for (const [path, expected] of readings) {
    it(`canonicalPaths() reads ${path} also as ${expected.slice(1).join(", ")}`, () =>
      assert.deepEqual([...canonicalPaths(path)!].sort(), [...expected].sort()));
  }

  for (const path of [
    "/%",
    "/%2",
    "/%zz",
    "/%00",
    "/%0a",
    "/%7f",
    "/a\u0000",
    "/caf\u00e9",
    "/%ff",
    "/%c0%ae%c0%ae/admin",
    "/%e0%80%ae",
    "/%ed%a0%80",
    "/%25252e",
  ]) {
    it(`canonicalPaths() cannot read ${JSON.stringify(path)}`, () => assert.equal(canonicalPaths(path), null));
  }

  it("canonicalPaths() takes an encoded per cent sign for what it is", () => {
    assert.deepEqual([...canonicalPaths("/100%25")!], ["/100%25", "/100%"]);
  });

  it("canonicalPaths() reads encoded UTF-8", () => assert.ok(canonicalPaths("/caf%C3%A9")!.includes("/café")));

  it("canonicalPaths() keeps the received spelling first and stays small, whatever is sent", () => {
    const piece = fc.constantFrom(
      "/",
      "//",
      ".",
      "..",
      "/./",
      "/../",
      "%2e",
      "%2F",
      "%5c",
      "\\",
      ";",
      ";x=1",
      "%252e",
      "a",
      "admin",
      "%",
      "%c0%ae",
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 30 }).map((pieces) => `/${pieces.join("")}`),
        (path) => {
          const found = canonicalPaths(path);
          if (found === null) return;
          assert.equal(found[0], path);
          assert.ok(found.length <= 64, `${found.length} readings`);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("canonicalPaths() is quick for the longest path the wire lets through", () => {
    const path = `/${"%2e%2e%2f;a\\".repeat(630)}`;
    const startedAtMs = performance.now();
    canonicalPaths(path);
    assert.ok(performance.now() - startedAtMs < 250);
  });
});
