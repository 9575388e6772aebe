import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MeshError } from "../../src/errors.ts";
import {
  controlId,
  matchId,
  meshId,
  parseSpiffeId,
  requireSpiffeId,
  trustDomainProblem,
} from "../../src/identity/spiffe-id.ts";

const long = (length: number): string => `spiffe://td/${"a".repeat(length - "spiffe://td/".length)}`;

describe("parseSpiffeId()", () => {
  const accepted: readonly [string, string, string][] = [
    ["spiffe://td", "td", ""],
    ["spiffe://mesh.local/ns/default/sa/orders", "mesh.local", "/ns/default/sa/orders"],
    ["spiffe://1.2.3.4/x", "1.2.3.4", "/x"],
    ["spiffe://a_b-c.d/x", "a_b-c.d", "/x"],
    ["spiffe://td/Case.Matters_1-2", "td", "/Case.Matters_1-2"],
    ["spiffe://td/.../.x/x..", "td", "/.../.x/x.."],
    [`spiffe://${"a".repeat(255)}/x`, "a".repeat(255), "/x"],
    [long(2048), "td", long(2048).slice("spiffe://td".length)],
  ];
  for (const [text, trustDomain, path] of accepted) {
    it(`parseSpiffeId() accepts ${text.slice(0, 60)}`, () => {
      const id = parseSpiffeId(text);
      assert.ok(typeof id !== "string", String(id));
      assert.deepEqual([id.text, id.trustDomain, id.path], [text, trustDomain, path]);
    });
  }

  const refused: readonly string[] = [
    "",
    "spiffe:",
    "spiffe:/td/x",
    "spiffe:///x",
    "spiffe://",
    "SPIFFE://td/x",
    "Spiffe://td/x",
    "http://td/x",
    " spiffe://td/x",
    "spiffe://td/x ",
    "spiffe://TD/x",
    "spiffe://td1.Evil/x",
    "spiffe://td:443/x",
    "spiffe://td@evil/x",
    "spiffe://user:pw@td/x",
    "spiffe://[::1]/x",
    "spiffe://t%64/x",
    "spiffe://té/x",
    "spiffe://td/",
    "spiffe://td/x/",
    "spiffe://td//x",
    "spiffe://td/x//y",
    "spiffe://td/.",
    "spiffe://td/..",
    "spiffe://td/./x",
    "spiffe://td/x/../y",
    "spiffe://td/x/..",
    "spiffe://td/x?q",
    "spiffe://td/x#f",
    "spiffe://td?q",
    "spiffe://td#f",
    "spiffe://td/%78",
    "spiffe://td/x%2fy",
    "spiffe://td/x\\y",
    "spiffe://td/x\0.evil",
    "spiffe://td/x;y",
    "spiffe://td/x,URI:spiffe://td/admin",
    "spiffe://td/x\n",
    "spiffe://td/*",
    "spiffe://td/~x",
    "spiffe://td/é",
    `spiffe://${"a".repeat(256)}/x`,
    long(2049),
  ];
  for (const text of refused) {
    it(`parseSpiffeId() refuses ${JSON.stringify(text.slice(0, 60))}`, () =>
      assert.equal(typeof parseSpiffeId(text), "string"));
  }

  it("parseSpiffeId() names namespace and service only if the whole path is the mesh's", () => {
    const parts = (text: string): unknown[] => {
      const id = requireSpiffeId(text);
      return [id.namespace, id.service];
    };
    assert.deepEqual(parts("spiffe://td/ns/default/sa/orders"), ["default", "orders"]);
    for (const text of [
      "spiffe://td/ns/default/sa/orders/x",
      "spiffe://td/x/ns/default/sa/orders",
      "spiffe://td/ns/default/sb/orders",
      "spiffe://td/ns/default",
      "spiffe://td/NS/default/sa/orders",
    ]) {
      assert.deepEqual(parts(text), [null, null], text);
    }
  });

  it("parseSpiffeId() never throws and never changes a byte", () => {
    const almost = fc
      .tuple(fc.constantFrom("spiffe://", "spiffe://td", "spiffe://td/", ""), fc.string({ unit: "binary" }))
      .map(([start, rest]) => start + rest);
    fc.assert(
      fc.property(almost, (text) => {
        const id = parseSpiffeId(text);
        if (typeof id !== "string") assert.equal(`spiffe://${id.trustDomain}${id.path}`, text);
      }),
      { numRuns: 2000 },
    );
  });

  it("parseSpiffeId() reads back what meshId() writes", () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/).filter((text) => text !== "." && text !== "..");
    fc.assert(
      fc.property(segment, segment, (namespace, service) => {
        const id = meshId("mesh.local", namespace, service);
        assert.deepEqual(parseSpiffeId(id.text), id);
        assert.deepEqual([id.namespace, id.service], [namespace, service]);
      }),
    );
  });
});

describe("meshId()", () => {
  for (const [namespace, service] of [
    ["a/sa/b", "x"],
    ["default", "../admin"],
    ["default", "x/y"],
    ["", "x"],
    ["default", ""],
    ["..", "x"],
    ["default", "a b"],
    ["default", "x?y"],
  ] as const) {
    it(`meshId() refuses namespace ${JSON.stringify(namespace)} with service ${JSON.stringify(service)}`, () => {
      assert.throws(
        () => meshId("td", namespace, service),
        (error) => error instanceof MeshError && error.code === "ERR_OPTION_INVALID",
      );
    });
  }

  it("meshId() refuses a trust domain that is none", () => {
    assert.throws(() => meshId("Mesh.Local", "default", "x"), /not a SPIFFE ID/);
    assert.equal(trustDomainProblem("mesh.local"), null);
    assert.equal(typeof trustDomainProblem("mesh/local"), "string");
  });

  it("controlId() is a workload of the system namespace", () => {
    assert.equal(controlId("td").text, "spiffe://td/ns/fetchmesh-system/sa/control");
  });
});

describe("matchers", () => {
  it("matchId() matches one identity, byte by byte", () => {
    const match = matchId("spiffe://td/ns/default/sa/a.b");
    assert.equal(match(requireSpiffeId("spiffe://td/ns/default/sa/a.b")), null);
    for (const other of [
      "spiffe://td/ns/default/sa/aXb",
      "spiffe://td/ns/default/sa/A.b",
      "spiffe://td2/ns/default/sa/a.b",
      "spiffe://td/ns/default/sa/a.b.c",
    ]) {
      assert.match(match(requireSpiffeId(other))!, /expected spiffe:\/\/td\/ns\/default\/sa\/a\.b/);
    }
  });
});
