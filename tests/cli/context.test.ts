import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { contextPaths, controlAccess, readContextFacts } from "../../src/cli/context.ts";
import { Settings } from "../../src/cli/settings.ts";
import { MeshError } from "../../src/errors.ts";
import { rootFingerprint } from "../../src/identity/fingerprint.ts";

// Not a certificate: nothing here looks inside.
const rootPem = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";

const context = {
  control: "https://127.0.0.1:41001",
  mesh: "default",
  trustDomain: "mesh.local",
  rootFingerprint: rootFingerprint(rootPem),
  rootPem,
  operatorToken: "secret",
};

/** As `control` and `dev` write it. */
function writeContext(dir: string, { rootPem, operatorToken, ...facts }: typeof context): void {
  const paths = contextPaths(dir);
  mkdirSync(dir);
  writeFileSync(paths.root, rootPem);
  writeFileSync(paths.operatorToken, `${operatorToken}\n`);
  writeFileSync(paths.facts, JSON.stringify(facts));
}

function settings(values: Record<string, unknown>): Settings {
  const entries = new Map(Object.entries(values)) as ConstructorParameters<typeof Settings>[0];
  return new Settings(entries, new Set());
}

const refusal = (pattern: RegExp) => (error: unknown) =>
  error instanceof MeshError && pattern.test(`${error.message} ${error.advice}`);

describe("the context", () => {
  let dir = "";
  before(() => {
    dir = mkdtempSync(join(tmpdir(), "fetchmesh-context-"));
    writeContext(join(dir, "made"), context);
  });
  after(() => rmSync(dir, { recursive: true }));

  it("reads back what was written", () => {
    const { control, mesh, trustDomain, rootFingerprint } = context;
    assert.deepEqual(readContextFacts(join(dir, "made")), { control, mesh, trustDomain, rootFingerprint });
    const access = controlAccess(settings({ dir: join(dir, "made") }));
    assert.deepEqual(access, { control, rootPem, operatorToken: "secret" });
  });

  it("is replaced part by part by flags", () => {
    const file = join(dir, "other.token");
    writeFileSync(file, "other\n");
    const access = controlAccess(
      settings({ dir: join(dir, "made"), control: "https://10.0.0.1:1", "operator-token-file": file }),
    );
    assert.equal(access.control, "https://10.0.0.1:1");
    assert.equal(access.operatorToken, "other");
  });

  it("says what to do where there is none", () => {
    assert.equal(readContextFacts(join(dir, "none")), null);
    assert.throws(() => controlAccess(settings({ dir: join(dir, "none") })), refusal(/no context in .*fetchmesh dev/));
  });

  it("names the part that is missing", () => {
    const given = settings({ dir: join(dir, "none"), control: "https://10.0.0.1:1" });
    assert.throws(() => controlAccess(given), refusal(/root certificate.*--ca FILE/));
  });

  it("refuses a root that it was not made with", () => {
    writeContext(join(dir, "swapped"), { ...context, rootFingerprint: "00" });
    assert.throws(() => controlAccess(settings({ dir: join(dir, "swapped") })), refusal(/not the root certificate/));
  });

  it("refuses a file that is not JSON", () => {
    writeContext(join(dir, "broken"), context);
    writeFileSync(contextPaths(join(dir, "broken")).facts, "control: x");
    assert.throws(() => readContextFacts(join(dir, "broken")), refusal(/context\.json/));
  });
});
