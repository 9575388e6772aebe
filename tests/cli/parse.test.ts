import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as kind from "../../src/cli/parse.ts";
import type { ValueKind } from "../../src/cli/parse.ts";

type Case = readonly [text: string, value: unknown];

function table(name: string, one: ValueKind<unknown>, cases: readonly Case[]): void {
  describe(name, () => {
    for (const [text, value] of cases) {
      it(`${value === undefined ? "refuses" : "reads"} "${text}"`, () => assert.deepEqual(one.read(text), value));
    }
  });
}

table("address", kind.address, [
  ["127.0.0.1:15001", { host: "127.0.0.1", port: 15001 }],
  ["0.0.0.0:0", { host: "0.0.0.0", port: 0 }],
  ["[::1]:80", { host: "::1", port: 80 }],
  ["localhost:65535", { host: "localhost", port: 65535 }],
  ["unix:/run/mesh.sock", { path: "/run/mesh.sock" }],
  ["unix:relative", undefined],
  ["127.0.0.1", undefined],
  ["127.0.0.1:", undefined],
  [":8080", undefined],
  ["127.0.0.1:65536", undefined],
  ["127.0.0.1:-1", undefined],
  ["127.0.0.1:80x", undefined],
  ["http://127.0.0.1:80", undefined],
  ["a b:80", undefined],
  ["", undefined],
]);

table("targetAddress", kind.targetAddress, [
  ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
  ["127.0.0.1:0", undefined],
]);

table("port", kind.port, [
  ["8080", 8080],
  ["0", undefined],
  ["65536", undefined],
  ["80a", undefined],
]);

table("duration", kind.duration, [
  ["500ms", 500],
  ["10s", 10_000],
  ["5m", 300_000],
  ["24h", 86_400_000],
  ["1h30m", 5_400_000],
  ["1.5s", 1_500],
  ["0s", 0],
  ["10", undefined],
  ["10 s", undefined],
  ["s", undefined],
  ["-1s", undefined],
  ["", undefined],
]);

table("positiveDuration", kind.positiveDuration, [
  ["1ms", 1],
  ["0s", undefined],
]);

table("controlUrl", kind.controlUrl, [
  ["https://127.0.0.1:15010", "https://127.0.0.1:15010"],
  ["https://control.example/", "https://control.example"],
  ["http://127.0.0.1:15010", undefined],
  ["127.0.0.1:15010", undefined],
]);

table("storeUrl", kind.storeUrl, [
  ["memory", "memory"],
  ["file:mesh.json", "file:mesh.json"],
  ["redis://127.0.0.1:6379/2", "redis://127.0.0.1:6379/2"],
  ["rediss://user:secret@cache.example", "rediss://user:secret@cache.example"],
  ["file:", undefined],
  ["redis://", undefined],
  ["postgres://127.0.0.1", undefined],
]);

table("upstream", kind.upstream, [
  ["billing=9001", { service: "billing", port: 9001 }],
  ["billing.shop=0", { service: "billing.shop", port: 0 }],
  ["billing", undefined],
  ["billing=99999", undefined],
  ["=9001", undefined],
]);

table("label", kind.label, [
  ["orders-2", "orders-2"],
  ["Orders", undefined],
  ["-orders", undefined],
  ["a".repeat(64), undefined],
]);

table("yesNo", kind.yesNo, [
  ["", true],
  ["1", true],
  ["true", true],
  ["0", false],
  ["false", false],
  ["maybe", undefined],
]);

describe("formatAddress()", () => {
  it("writes what address reads", () => {
    for (const text of ["127.0.0.1:15001", "[::1]:80", "unix:/run/mesh.sock"]) {
      assert.equal(kind.formatAddress(kind.address.read(text)!), text);
    }
  });
});
