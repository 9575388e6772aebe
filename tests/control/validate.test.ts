import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readDocuments } from "../../src/control/documents.ts";
import { resourceKey } from "../../src/control/resource-key.ts";
import { validateDocuments } from "../../src/control/validate.ts";

const http = (name: string, spec: string): string =>
  `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ${name}}\nspec:\n${indent(spec)}`;
const backend = (name: string, spec: string): string =>
  `apiVersion: fetchmesh.dev/v1alpha1\nkind: BackendPolicy\nmetadata: {name: ${name}}\nspec:\n${indent(spec)}`;
const authorization = (spec: string): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec:\n${indent(spec)}`;
const indent = (text: string): string =>
  text
    .split("\n")
    .map((line) => `  ${line}\n`)
    .join("");

function check(text: string, known: readonly string[] = ["default/orders", "default/web"]): string[] {
  const { resources, problems } = readDocuments([{ file: "mesh.yaml", text }]);
  assert.deepEqual(problems, [], text);
  const places = new Map(resources.map(({ resource, locate }) => [resourceKey(resource), locate]));
  const found = validateDocuments(
    resources.map(({ resource }) => resource),
    { knownServices: new Set(known), locate: (resource) => places.get(resourceKey(resource)) },
  );
  return found.map(({ line, column, code, severity }) => `${line}:${column} ${code} ${severity}`);
}

describe("validateDocuments()", () => {
  const cases: readonly (readonly [name: string, text: string, expected: readonly string[]])[] = [
    [
      "a route to a service that does not exist",
      http("r", "parentRefs: [{kind: Service, name: orders}]\nrules:\n- backendRefs: [{name: ordrs}]"),
      ["7:26 FM0202 error"],
    ],
    [
      "a parent that does not exist",
      http("r", "parentRefs:\n- {kind: Service, name: nobody}\nrules:\n- backendRefs: [{name: orders}]"),
      ["6:27 FM0203 error"],
    ],
    [
      "weights that sum to 0",
      http(
        "r",
        "parentRefs: [{kind: Service, name: orders}]\nrules:\n- backendRefs: [{name: orders, weight: 0}, {name: web, weight: 0}]",
      ),
      ["7:18 FM0204 error"],
    ],
    [
      "weights of which one is above 0",
      http(
        "r",
        "parentRefs: [{kind: Service, name: orders}]\nrules:\n- backendRefs: [{name: orders, weight: 0}, {name: web}]",
      ),
      [],
    ],
    [
      "an attempt that may last longer than all",
      http(
        "r",
        "parentRefs: [{kind: Service, name: orders}]\nrules:\n- backendRefs: [{name: orders}]\n  timeouts: {request: 1s, backendRequest: 1s1ms}",
      ),
      ["8:45 FM0205 error"],
    ],
    [
      "an attempt bounded under an unbounded request",
      http(
        "r",
        "parentRefs: [{kind: Service, name: orders}]\nrules:\n- backendRefs: [{name: orders}]\n  timeouts: {request: 0s, backendRequest: 5s}",
      ),
      [],
    ],
    [
      "a parent named twice",
      http(
        "r",
        "parentRefs:\n- {kind: Service, name: orders}\n- {kind: Service, name: orders, namespace: default}\nrules:\n- backendRefs: [{name: orders}]",
      ),
      ["7:27 FM0206 error"],
    ],
    [
      "one parent on two ports",
      http(
        "r",
        "parentRefs:\n- {kind: Service, name: orders, port: 80}\n- {kind: Service, name: orders, port: 81}\nrules:\n- backendRefs: [{name: orders}]",
      ),
      [],
    ],
    [
      "hostnames, rules without backends",
      http("r", "parentRefs: [{kind: Service, name: orders}]\nhostnames: [a.example]\nrules:\n- {}"),
      ["6:14 FM0301 warning", "8:5 FM0302 warning"],
    ],
    [
      "two policies for one service",
      `${backend("a", "targetRefs: [{kind: Service, name: orders}]")}---\n${backend("b", "targetRefs: [{kind: Service, name: orders}]")}`,
      ["11:38 FM0207 error"],
    ],
    ["a policy for nobody yet", backend("a", "targetRefs: [{kind: Service, name: later}]"), ["5:38 FM0303 warning"]],
    [
      "openings that shrink",
      backend("a", "targetRefs: [{kind: Service, name: orders}]\nbreaker: {openFor: 10s, maxOpenFor: 5s}"),
      ["6:39 FM0205 error"],
    ],
    [
      "an endpoint in the clear beside instances that prove who they are",
      "apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: orders}\nspec:\n  endpoints:\n  - address: 10.0.0.1:80",
      ["6:5 FM0305 warning"],
    ],
    [
      "endpoints in the clear of a service outside the mesh",
      "apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: outside}\nspec:\n  endpoints:\n  - address: 10.0.0.1:80",
      [],
    ],
    ["a DENY that denies nothing", authorization("action: DENY"), ["5:11 FM0304 warning"]],
    ["an ALLOW that allows nothing, which is how one denies everything", authorization("action: ALLOW"), []],
    [
      "an authorization for nobody yet",
      authorization("selector: {matchLabels: {app: later}}"),
      ["5:33 FM0303 warning"],
    ],
    [
      "a selector and targets",
      authorization("selector: {matchLabels: {app: orders}}\ntargetRefs: [{kind: Service, name: web}]"),
      ["5:13 FM0205 error"],
    ],
  ];
  for (const [name, text, expected] of cases) {
    it(`${expected.length === 0 ? "accepts" : "reports"} ${name}`, () => assert.deepEqual(check(text), expected));
  }

  it("knows services from documents, with their ports, and from the registry", () => {
    const service =
      "apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: billing}\nspec: {ports: [{port: 80}, {port: 80}], endpoints: [{address: '10.0.0.1:80'}, {address: '10.0.0.1:80'}]}\n";
    const route = http(
      "r",
      "parentRefs: [{kind: Service, name: billing, port: 81}]\nrules:\n- backendRefs: [{name: billing, port: 80}]",
    );
    assert.deepEqual(check(`${service}---\n${route}`, []), [
      "4:35 FM0205 error",
      "4:89 FM0205 error",
      "10:53 FM0208 error",
    ]);
    assert.deepEqual(
      check(
        http(
          "r",
          "parentRefs: [{kind: Service, name: orders}]\nrules:\n- backendRefs: [{name: orders, namespace: other}]",
        ),
      ),
      ["7:26 FM0202 error"],
    );
    assert.deepEqual(
      check(
        http(
          "r",
          "parentRefs: [{kind: Service, name: orders, port: 7}]\nrules:\n- backendRefs: [{name: orders, port: 8}]",
        ),
      ),
      [],
    );
  });
});
