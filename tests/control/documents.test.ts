import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readDocuments } from "../../src/control/documents.ts";
import { problemTable, problemText, type Problem } from "../../src/control/problems.ts";
import { closest } from "../../src/control/suggest.ts";

const read = (text: string, file = "mesh.yaml") => readDocuments([{ file, text }]);
const shown = (problems: readonly Problem[]): string[] =>
  problems.map(
    ({ line, column, code, suggestion }) => `${line}:${column} ${code}${suggestion === null ? "" : ` ${suggestion}`}`,
  );

describe("readDocuments()", () => {
  it("reports every problem at its place with what to write instead", () => {
    const { resources, problems } = read(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, nmespace: x}
spec:
  parentRefs:
    - kind: Service
      name: orders
  rules:
    - backendRef:
        - name: a
      timeouts: {requests: 1.5s}
      matches:
        - method: get
    - backendRefs: [{name: Orders, weight: -1}]
      timeouts: {request: 1.5s}
      retry: {attempts: 99, codes: [200]}
`);
    assert.equal(resources.length, 0);
    assert.deepEqual(shown(problems), [
      "3:26 FM0101 did you mean namespace?",
      "9:7 FM0101 did you mean backendRefs?",
      "11:18 FM0101 did you mean request?",
      "13:19 FM0104 did you mean GET?",
      '14:28 FM0108 must be a name of at most 63 of a-z, 0-9 and "-", starting and ending with a letter or digit',
      "14:44 FM0107",
      '15:27 FM0108 must be a duration such as "250ms", "10s" or "1m30s" (Gateway API: up to four numbers with h, m, s or ms)',
      "16:25 FM0107",
      "16:37 FM0107",
    ]);
  });

  it("says of what Gateway API and Istio have and this version does not: not supported yet", () => {
    const cases: readonly (readonly [text: string, code: string])[] = [
      ["kind: GRPCRoute", "FM0106"],
      ["kind: RateLimitPolicy", "FM0106"],
      [route("matches: [{path: {type: RegularExpression, value: /x}}]"), "FM0106"],
      [route("matches: [{headers: [{type: RegularExpression, name: a, value: b}]}]"), "FM0106"],
      [route("filters: [{type: RequestRedirect, requestRedirect: {}}]"), "FM0106"],
      [route("filters: [{type: URLRewrite, urlRewrite: {}}]"), "FM0106"],
      [route("filters: [{type: RequestMirror, requestMirror: {}}]"), "FM0106"],
      [route("backendRefs: [{name: a, filters: [{type: CORS}]}]"), "FM0106"],
      [route("sessionPersistence: {}"), "FM0106"],
      [policy("rules: [{when: []}]"), "FM0106"],
      [policy("rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]"), "FM0106"],
      [policy("rules: [{to: [{operation: {hosts: [a]}}]}]"), "FM0106"],
      [policy("action: CUSTOM"), "FM0106"],
      [route("matches: [{path: {type: Regex, value: /x}}]"), "FM0104"],
      [policy("rulez: []"), "FM0101"],
      ["kind: Sevice", "FM0105"],
      ["apiVersion: v1\nkind: Service\nmetadata: {name: a}", "FM0105"],
    ];
    for (const [text, code] of cases) {
      const { problems } = read(text);
      assert.deepEqual(
        problems.map((problem) => problem.code),
        [code],
        text,
      );
      assert.ok(problems[0]!.suggestion !== null, text);
    }
  });

  it("takes what kubectl writes: lists, JSON, bookkeeping fields", () => {
    const item = {
      apiVersion: "fetchmesh.dev/v1alpha1",
      kind: "Service",
      metadata: { name: "a", uid: "1", resourceVersion: "7", managedFields: [{}], creationTimestamp: null },
    };
    const list = JSON.stringify(
      { apiVersion: "v1", kind: "List", items: [item, { ...item, metadata: { name: "b", labels: { x: "y" } } }] },
      null,
      "\t",
    );
    const { resources, problems } = read(list);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      resources.map(({ resource }) => resource.metadata),
      [
        { name: "a", namespace: "default" },
        { name: "b", namespace: "default", labels: { x: "y" } },
      ],
    );
    const bad = read(
      JSON.stringify({ kind: "List", items: [item, { ...item, metadata: { name: "b", labls: {} } }] }, null, 2),
    );
    assert.deepEqual(
      bad.problems.map(({ code, line }) => `${code} ${line}`),
      ["FM0101 22"],
    );
    assert.equal(read(JSON.stringify([item])).resources.length, 1);
  });

  it("finds duplicates of keys and of documents", () => {
    assert.deepEqual(shown(read("kind: Service\nkind: Service\n").problems), ["2:1 FM0002 keep one of them"]);
    assert.deepEqual(shown(read('{"kind":"Service",\n"kind":"Service"}').problems), ["2:1 FM0002 keep one of them"]);
    const service = "apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: a}\n";
    const twice = readDocuments([
      { file: "a.yaml", text: service },
      { file: "b.yaml", text: `---\n${service}` },
    ]);
    assert.deepEqual(twice.problems.map(problemText), [
      "b.yaml:4:18 FM0201 Service default/a is written twice, first at a.yaml:3 (keep one of them)",
    ]);
  });

  it("places syntax errors, and stays silent about empty documents between others", () => {
    assert.deepEqual(
      read("a: [1,2\nb: c\n").problems.map(({ code, line }) => `${code} ${line}`),
      ["FM0001 2"],
    );
    assert.deepEqual(
      read("# nothing\n").problems.map(({ code }) => code),
      ["FM0005"],
    );
    assert.deepEqual(
      read("").problems.map(({ code }) => code),
      ["FM0005"],
    );
    assert.deepEqual(
      read("---\n---\napiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: a}\n---\n").problems,
      [],
    );
    assert.deepEqual(
      read("just text").problems.map(({ code }) => code),
      ["FM0005"],
    );
    assert.deepEqual(
      read("a: !!js/function x\n").problems.map(({ code }) => code),
      ["FM0001"],
    );
  });

  it("is bounded against hostile text (L36)", () => {
    const hostile = {
      "deep flow": "[".repeat(100_001),
      "deep flow, closed": "[".repeat(2_000) + "]".repeat(2_000),
      "deep block": `${"- ".repeat(100_001)}a`,
      "a bomb of aliases":
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]",
    };
    for (const [name, text] of Object.entries(hostile))
      assert.deepEqual(
        read(text).problems.map(({ code }) => code),
        ["FM0004"],
        name,
      );
    assert.deepEqual(
      read("x".repeat(1_048_577)).problems.map(({ code }) => code),
      ["FM0003"],
    );
    const began = Date.now();
    read(Array.from({ length: 20_000 }, (_, index) => `k${index}: 1`).join("\n"));
    assert.ok(Date.now() - began < 5_000, "many keys are not compared with each other");
    const { problems } = read(
      '{"apiVersion":"fetchmesh.dev/v1alpha1","kind":"Service","__proto__":{"a":1},"metadata":{"name":"a","labels":{"__proto__":"x"}},"constructor":1}',
    );
    assert.deepEqual(
      problems.map(({ code }) => code),
      ["FM0101", "FM0101"],
    );
    assert.equal(({} as Record<string, unknown>)["a"], undefined);
  });

  it("never throws, and every problem has a code of the table and a place in the text", () => {
    const word = fc.constantFrom(
      "kind",
      "apiVersion",
      "metadata",
      "spec",
      "name",
      "rules",
      ":",
      "-",
      "\n",
      "  ",
      "{",
      "}",
      "[",
      "]",
      ",",
      "Service",
      "HTTPRoute",
      "&a",
      "*a",
      "|",
      ">",
      '"',
      "'",
      "#",
      "?",
      "!",
      "%",
      "\t",
      "---",
      "\u0000",
      "1",
      "null",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 60 }), (words) => {
        const text = words.join("");
        for (const problem of read(text).problems) {
          assert.ok(Object.hasOwn(problemTable, problem.code));
          assert.ok(problem.line >= 1 && problem.line <= text.split("\n").length + 1 && problem.column >= 1);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("closest()", () => {
  it("finds slips of the finger and guesses nothing wild", () => {
    const known = ["backendRefs", "filters", "matches", "timeouts", "retry", "name"];
    for (const [typed, meant] of [
      ["backendRef", "backendRefs"],
      ["backendrefs", "backendRefs"],
      ["macthes", "matches"],
      ["timeout", "timeouts"],
      ["nmae", "name"],
      ["x", null],
      ["weights", null],
      ["", null],
      ["r".repeat(1_000), null],
    ] as const) {
      assert.equal(closest(typed, known), meant, typed.slice(0, 20));
    }
  });
});

function route(rule: string): string {
  return `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec:\n  parentRefs: [{kind: Service, name: a}]\n  rules:\n    - ${rule}\n`;
}

function policy(line: string): string {
  return `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec:\n  ${line}\n`;
}
