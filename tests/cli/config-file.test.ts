import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { readConfigFile } from "../../src/cli/config-file.ts";
import { UsageError } from "../../src/cli/usage-error.ts";

const directory = mkdtempSync(join(tmpdir(), "fetchmesh-config-"));
after(() => rmSync(directory, { recursive: true }));

function file(text: string): string {
  const path = join(directory, "mesh.yaml");
  writeFileSync(path, text);
  return path;
}

function refusalOf(text: string): string {
  try {
    readConfigFile(file(text));
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error.message;
  }
  assert.fail("was accepted");
}

describe("readConfigFile()", () => {
  it("gives each flag's texts and where it is written", () => {
    const settings = readConfigFile(file("listen: 127.0.0.1:15010\ncert-ttl: 1h\n"));
    assert.deepEqual(settings.get("listen")?.texts, ["127.0.0.1:15010"]);
    assert.match(settings.get("cert-ttl")!.place, /mesh\.yaml:2:1 "cert-ttl"$/);
  });

  it("takes numbers and switches as they are typed, and camelCase and snake_case for dashes", () => {
    const settings = readConfigFile(file("port: 8080\nonce: true\ninboundH2: 127.0.0.1:1\ntrust_domain: mesh.local\n"));
    assert.deepEqual(settings.get("port")?.texts, ["8080"]);
    assert.deepEqual(settings.get("once")?.texts, ["true"]);
    assert.deepEqual(settings.get("inbound-h2")?.texts, ["127.0.0.1:1"]);
    assert.deepEqual(settings.get("trust-domain")?.texts, ["mesh.local"]);
  });

  it("takes a repeatable flag as a list or as a mapping", () => {
    const expected = ["orders=9001", "stock=9002"];
    assert.deepEqual(readConfigFile(file("upstream: [orders=9001, stock=9002]")).get("upstream")?.texts, expected);
    assert.deepEqual(
      readConfigFile(file("upstream:\n  orders: 9001\n  stock: 9002\n")).get("upstream")?.texts,
      expected,
    );
  });

  it("takes an empty file", () => {
    assert.equal(readConfigFile(file("# nothing yet\n")).size, 0);
  });

  it("refuses a misspelt key with its place, the line and what was meant", () => {
    const message = refusalOf("listen: 127.0.0.1:1\ntrust-domian: x\n");
    assert.match(message, /mesh\.yaml:2:1: error FM0101: unknown key "trust-domian" \(did you mean "trust-domain"\?\)/);
    assert.match(message, /2 \| trust-domian: x\n\s+\| \^/);
  });

  it("tells every problem at once", () => {
    const message = refusalOf("lisen: 1\nmtls: [strict, off]\n");
    assert.match(message, /"lisen"/);
    assert.match(message, /mesh\.yaml:2:7: error FM0103: "mtls" must be one value/);
  });

  it("refuses what is not YAML with its place", () => {
    assert.match(refusalOf("listen: [1, 2\nmesh: x\n"), /mesh\.yaml:\d+:\d+: error FM0001: not valid YAML/);
  });

  it("refuses a document that is not a mapping", () => {
    assert.match(refusalOf("- listen\n"), /mesh\.yaml:1:1: error FM0103: must be a mapping/);
  });

  it("says which file cannot be read", () => {
    assert.throws(() => readConfigFile(join(directory, "none.yaml")), /none\.yaml/);
  });
});
