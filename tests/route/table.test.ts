import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { HttpRoute, HttpRouteMatch } from "../../src/control/resources.ts";
import { answeredBy, backendOf, headOf, naiveMatch, routeOf, tableOf } from "./tables.ts";

const exact = (value: string): HttpRouteMatch => ({ path: { type: "Exact", value } });
const prefix = (value: string): HttpRouteMatch => ({ path: { type: "PathPrefix", value } });
const header = (...pairs: string[]): NonNullable<HttpRouteMatch["headers"]> => pairsOf(pairs);
const query = (...pairs: string[]): NonNullable<HttpRouteMatch["queryParams"]> => pairsOf(pairs);
const pairsOf = (flat: string[]) =>
  Array.from({ length: flat.length / 2 }, (_, i) => ({ name: flat[2 * i]!, value: flat[2 * i + 1]! }));

type Case = readonly [method: string, target: string, headers: Record<string, string>, expected: string];

function table(name: string, routes: readonly HttpRoute[], cases: readonly Case[]): void {
  describe(`compileRoutes(), as ${name}`, () => {
    const compiled = tableOf(...routes);
    for (const [method, target, headers, expected] of cases) {
      it(`sends ${method} ${target} ${JSON.stringify(headers)} to ${expected}`, () => {
        assert.equal(answeredBy(compiled, method, target, headers), expected);
      });
    }
  });
}

// Cases of the Gateway API conformance suite, by the names of its tests.
table(
  "HTTPRouteExactPathMatching",
  [
    routeOf([
      [[exact("/one")], "v1"],
      [[exact("/two")], "v2"],
    ]),
  ],
  [
    ["GET", "/one", {}, "v1"],
    ["GET", "/two", {}, "v2"],
    ["GET", "/", {}, "404"],
    ["GET", "/one/example", {}, "404"],
    ["GET", "/two/", {}, "404"],
    ["GET", "/Two", {}, "404"],
  ],
);

table(
  "HTTPRoutePathMatchOrder",
  [
    routeOf([
      [[exact("/match/exact/one")], "v3"],
      [[exact("/match/exact")], "v2"],
      [[exact("/match")], "v1"],
      [[prefix("/match/prefix/one")], "v2"],
      [[prefix("/match/prefix/")], "v1"],
      [[prefix("/match/")], "v3"],
    ]),
  ],
  [
    ["GET", "/match/exact/one", {}, "v3"],
    ["GET", "/match/exact", {}, "v2"],
    ["GET", "/match", {}, "v1"],
    ["GET", "/match/prefix/one/any", {}, "v2"],
    ["GET", "/match/prefix/any", {}, "v1"],
    ["GET", "/match/any", {}, "v3"],
  ],
);

table(
  "MeshHTTPRouteMatching",
  [
    routeOf([
      [[prefix("/"), { headers: header("version", "one") }], "v1"],
      [[prefix("/v2"), { headers: header("version", "two") }], "v2"],
    ]),
  ],
  [
    ["GET", "/", {}, "v1"],
    ["GET", "/example", {}, "v1"],
    ["GET", "/v2example", {}, "v1"],
    ["GET", "/foo/v2/example", {}, "v1"],
    ["GET", "/", { Version: "one" }, "v1"],
    ["GET", "/v2", {}, "v2"],
    ["GET", "/v2/", {}, "v2"],
    ["GET", "/v2/example", {}, "v2"],
    ["GET", "/", { version: "two" }, "v2"],
  ],
);

table(
  "HTTPRouteHeaderMatching",
  [
    routeOf([
      [[{ headers: header("version", "one") }], "v1"],
      [[{ headers: header("version", "two") }], "v2"],
      [[{ headers: header("version", "two", "color", "orange") }], "v1"],
      [[{ headers: header("color", "blue") }, { headers: header("color", "green") }], "v1"],
      [[{ headers: header("color", "red") }, { headers: header("color", "yellow") }], "v2"],
    ]),
  ],
  [
    ["GET", "/", { version: "one" }, "v1"],
    ["GET", "/", { version: "two" }, "v2"],
    ["GET", "/", { version: "two", color: "orange" }, "v1"],
    ["GET", "/", { color: "blue" }, "v1"],
    ["GET", "/", { color: "green" }, "v1"],
    ["GET", "/", { color: "red" }, "v2"],
    ["GET", "/", { color: "yellow" }, "v2"],
    ["GET", "/", { color: "purple" }, "404"],
    ["GET", "/", { "some-other-header": "one" }, "404"],
    // Both a one-header rule each: the first in order wins.
    ["GET", "/", { version: "two", color: "blue" }, "v2"],
  ],
);

table(
  "HTTPRouteQueryParamMatching",
  [
    routeOf([
      [[{ queryParams: query("animal", "whale") }], "v1"],
      [[{ queryParams: query("animal", "dolphin") }], "v2"],
      [[{ queryParams: query("animal", "dolphin", "color", "blue") }], "v3"],
      [[{ queryParams: query("ANIMAL", "Whale") }], "v3"],
      [[{ ...prefix("/path1"), queryParams: query("animal", "whale") }], "v1"],
      [[{ headers: header("version", "one"), queryParams: query("animal", "whale") }], "v2"],
      [
        [
          { ...prefix("/path3"), queryParams: query("animal", "shark") },
          { ...prefix("/path4"), headers: header("version", "three"), queryParams: query("animal", "kraken") },
        ],
        "v1",
      ],
      [[prefix("/path5")], "v1"],
      [[{ queryParams: query("animal", "hydra") }], "v2"],
      [[{ headers: header("version", "four") }], "v3"],
    ]),
  ],
  [
    ["GET", "/?animal=whale", {}, "v1"],
    ["GET", "/?animal=dolphin", {}, "v2"],
    ["GET", "/?animal=whale&otherparam=irrelevant", {}, "v1"],
    ["GET", "/?animal=dolphin&color=yellow", {}, "v2"],
    ["GET", "/?animal=dolphin&color=blue", {}, "v3"],
    ["GET", "/?ANIMAL=Whale", {}, "v3"],
    ["GET", "/?animal=whale&otherparam=irrelevant", { version: "one" }, "v2"],
    ["GET", "/?color=blue", {}, "404"],
    ["GET", "/?animal=dog", {}, "404"],
    ["GET", "/?animal=whaledolphin", {}, "404"],
    ["GET", "/", {}, "404"],
    ["GET", "/path1?animal=whale", {}, "v1"],
    ["GET", "/path3?animal=shark", {}, "v1"],
    ["GET", "/path4?animal=kraken", { version: "three" }, "v1"],
    ["GET", "/?animal=shark", {}, "404"],
    ["GET", "/path4?animal=kraken", {}, "404"],
    ["GET", "/path5?animal=hydra", {}, "v1"],
    ["GET", "/?animal=hydra", { version: "four" }, "v3"],
  ],
);

table(
  "HTTPRouteMethodMatching",
  [
    routeOf([
      [[{ method: "POST" }], "v1"],
      [[{ method: "GET" }], "v2"],
      [[{ ...prefix("/path1"), method: "GET" }], "v1"],
      [[{ headers: header("version", "one"), method: "PUT" }], "v2"],
      [[{ ...prefix("/path2"), headers: header("version", "two"), method: "POST" }], "v3"],
      [[{ ...prefix("/path5") }], "v1"],
      [[{ method: "PATCH" }], "v2"],
      [[{ headers: header("version", "four") }], "v1"],
    ]),
  ],
  [
    ["POST", "/", {}, "v1"],
    ["GET", "/", {}, "v2"],
    ["HEAD", "/", {}, "404"],
    ["GET", "/path1", {}, "v1"],
    ["PUT", "/", { version: "one" }, "v2"],
    ["POST", "/path2", { version: "two" }, "v3"],
    ["PATCH", "/path5", {}, "v1"],
    ["PATCH", "/", { version: "four" }, "v2"],
    ["PUT", "/", {}, "404"],
  ],
);

describe("compileRoutes()", () => {
  it("breaks ties by age, then by name, then by order", () => {
    const older = routeOf([[[prefix("/a")], "older"]], { name: "z", createdAt: "2026-01-01T00:00:00Z" });
    const younger = routeOf([[[prefix("/a")], "younger"]], { name: "a", createdAt: "2026-01-02T00:00:00Z" });
    assert.equal(answeredBy(tableOf(younger, older), "GET", "/a"), "older");
    const first = routeOf([[[prefix("/a")], "first"]], { name: "a" });
    const second = routeOf([[[prefix("/a")], "second"]], { name: "b" });
    assert.equal(answeredBy(tableOf(second, first), "GET", "/a"), "first");
    assert.equal(
      answeredBy(
        tableOf(
          routeOf([
            [[prefix("/a")], "one"],
            [[prefix("/a")], "two"],
          ]),
        ),
        "GET",
        "/a",
      ),
      "one",
    );
  });

  it("ranks matches across routes, not within them", () => {
    const wide = routeOf([[[prefix("/")], "wide"]], { name: "a" });
    const narrow = routeOf([[[prefix("/shop/cart")], "narrow"]], { name: "b" });
    assert.equal(answeredBy(tableOf(wide, narrow), "GET", "/shop/cart/1"), "narrow");
    assert.equal(answeredBy(tableOf(wide, narrow), "GET", "/shop/cartoon"), "wide");
  });

  it("lets a shorter path with more headers lose", () => {
    const compiled = tableOf(
      routeOf([
        [[{ ...prefix("/a"), headers: header("x", "1", "y", "2") }], "headers"],
        [[prefix("/a/b")], "path"],
      ]),
    );
    assert.equal(answeredBy(compiled, "GET", "/a/b", { x: "1", y: "2" }), "path");
  });

  it("covers only the ports its parentRefs name (MeshPorts)", () => {
    const compiled = tableOf(routeOf([[[], "v1"]], { port: 80 }));
    assert.equal(compiled.covers(80), true);
    assert.equal(compiled.covers(8080), false);
    assert.equal(compiled.match(headOf("GET", "/"), 8080), null);
    assert.equal(answeredBy(compiled, "GET", "/", {}, 80), "v1");
  });

  it("applies routes without a port beside those of a port", () => {
    const compiled = tableOf(
      routeOf([[[prefix("/")], "any"]], { name: "any" }),
      routeOf([[[prefix("/a")], "only80"]], { name: "only80", port: 80 }),
    );
    assert.equal(answeredBy(compiled, "GET", "/a", {}, 80), "only80");
    assert.equal(answeredBy(compiled, "GET", "/a", {}, 8080), "any");
    assert.equal(answeredBy(compiled, "GET", "/b", {}, 80), "any");
  });

  it("leaves out routes of other parents", () => {
    const other = {
      ...routeOf([[[], "v1"]]),
      spec: { parentRefs: [{ kind: "Service", name: "echo", namespace: "elsewhere" }], rules: [{}] },
    } as HttpRoute;
    assert.equal(tableOf(other).covers(80), false);
  });

  it("reads absent rules as one that matches everything and has no backend", () => {
    const bare = { ...routeOf([]), spec: { parentRefs: [{ kind: "Service", name: "echo" }] } } as HttpRoute;
    assert.equal(answeredBy(tableOf(bare), "GET", "/x"), "500");
  });

  it("does not take an element for a property of objects", () => {
    const compiled = tableOf(
      routeOf([
        [[prefix("/a")], "v1"],
        [[{ ...prefix("/b"), headers: header("x", "1") }], "v2"],
      ]),
    );
    for (const path of ["/__proto__", "/constructor", "/toString", "/a__proto__"])
      assert.equal(answeredBy(compiled, "GET", path), "404");
    assert.equal(answeredBy(compiled, "GET", "/b", { x: "__proto__" }), "404");
  });

  it("agrees with a matcher that tries everything in order, on any rules and requests", () => {
    const paths = fc.constantFrom("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/b/a");
    const pair = fc.record({ name: fc.constantFrom("x", "X", "y"), value: fc.constantFrom("1", "2") });
    const match = fc.record(
      {
        path: fc.record({ type: fc.constantFrom("Exact" as const, "PathPrefix" as const), value: paths }),
        method: fc.constantFrom("GET" as const, "POST" as const),
        headers: fc.array(pair, { maxLength: 3 }),
        queryParams: fc.array(pair, { maxLength: 3 }),
      },
      { requiredKeys: [] },
    );
    const rules = fc.array(fc.tuple(fc.array(match, { maxLength: 3 }), fc.constantFrom("v1", "v2", "v3", "v4")), {
      minLength: 1,
      maxLength: 5,
    });
    const route = fc.tuple(
      rules,
      fc.constantFrom("a", "b", "c"),
      fc.constantFrom("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
    );
    const request = fc.record({
      method: fc.constantFrom("GET", "POST", "PUT"),
      path: fc.oneof(paths, fc.constantFrom("/a/b/", "/abc", "/a//b", "/c")),
      query: fc.constantFrom("", "?x=1", "?x=2&y=1", "?X=1", "?y=2&y=1"),
      headers: fc.dictionary(fc.constantFrom("x", "y"), fc.constantFrom("1", "2", "3")),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(route, { selector: ([, name]) => name, maxLength: 3, minLength: 1 }),
        fc.array(request, { minLength: 4, maxLength: 8 }),
        (written, requests) => {
          const routes = written.map(([rulesOfRoute, name, createdAt]) =>
            routeOf(rulesOfRoute as never, { name, createdAt }),
          );
          const compiled = tableOf(...routes);
          for (const { method, path, query: search, headers } of requests) {
            const head = headOf(method, `${path}${search}`, headers);
            assert.equal(backendOf(compiled.match(head, 80)), naiveMatch(routes, head));
          }
        },
      ),
      { numRuns: 1_500 },
    );
  });

  it("costs about the same for ten rules as for ten thousand, whichever way they differ", () => {
    const shapes: readonly [string, (i: number) => HttpRouteMatch, (i: number) => ReturnType<typeof headOf>][] = [
      ["exact", (i) => exact(`/api/${i}`), (i) => headOf("GET", `/api/${i}`)],
      ["prefix", (i) => prefix(`/api/${i}`), (i) => headOf("GET", `/api/${i}/x`)],
      [
        "header",
        (i) => ({ headers: header("x-env", "prod", "x-tenant", `t${i}`) }),
        (i) => headOf("GET", "/", { "x-env": "prod", "x-tenant": `t${i}` }),
      ],
      ["query", (i) => ({ queryParams: query("tenant", `t${i}`) }), (i) => headOf("GET", `/?tenant=t${i}`)],
    ];
    for (const [name, match, head] of shapes) {
      const cost = (count: number): number => {
        const compiled = tableOf(
          ...Array.from({ length: count / 10 }, (_, r) =>
            routeOf(
              Array.from({ length: 10 }, (__, i) => [[match(r * 10 + i)], "v1"] as const),
              { name: `r${r}` },
            ),
          ),
        );
        const heads = Array.from({ length: 10 }, (_, i) => head(count - 1 - i));
        let bestMs = Infinity;
        for (let round = 0; round < 5; round++) {
          const startedMs = performance.now();
          for (let i = 0; i < 5_000; i++) if (compiled.match(heads[i % 10]!, 80) === null) assert.fail(name);
          bestMs = Math.min(bestMs, performance.now() - startedMs);
        }
        return bestMs;
      };
      // A scan would be a thousand times slower; the rest is caches and a shared machine.
      assert.ok(cost(10_000) < 20 * cost(10) + 5, name);
    }
  });
});
