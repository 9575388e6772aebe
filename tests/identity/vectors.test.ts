/** Other people's certificates, good and bad. Origin and licence: tests/fixtures/README.md. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { readCertificate } from "../../src/identity/certificate.ts";
import { spiffeIdOfLeaf } from "../../src/identity/leaf.ts";
import { pathProblem } from "../../src/identity/path.ts";
import { decodePem } from "../../src/identity/pem.ts";
import { verifySvid } from "../../src/identity/verify-svid.ts";

interface LimboCase {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly max_chain_depth: number | null;
  readonly expected_result: "SUCCESS" | "FAILURE";
  readonly expected_spiffe_id: string;
}

const fixtures = new URL("../fixtures/", import.meta.url);
const der = (pem: string): Uint8Array => decodePem(pem, "CERTIFICATE")[0]!;

describe("verifySvid() on x509-limbo", () => {
  const { testcases } = JSON.parse(readFileSync(new URL("x509-limbo-spiffe.json", fixtures), "utf8")) as {
    testcases: readonly LimboCase[];
  };

  it("there are 76 cases, 19 to accept", () => {
    assert.equal(testcases.length, 76);
    assert.equal(testcases.filter(({ expected_result }) => expected_result === "SUCCESS").length, 19);
  });

  for (const one of testcases) {
    it(`verifySvid() ${one.expected_result === "SUCCESS" ? "accepts" : "refuses"} ${one.id}`, async () => {
      const found = await verifySvid({
        chain: [one.peer_certificate, ...one.untrusted_intermediates].map(der),
        roots: one.trusted_certs.map(der),
        nowMs: one.validation_time === null ? Date.now() : Date.parse(one.validation_time),
        ...(one.max_chain_depth !== null && { maxIntermediates: one.max_chain_depth }),
      });
      if (one.expected_result === "SUCCESS")
        assert.equal(typeof found === "string" ? found : found.text, one.expected_spiffe_id);
      else assert.equal(typeof found, "string");
    });
  }

  it("pathProblem() gives up on a hundred issuers of one name before they cost anything to speak of", async () => {
    const one = testcases.find(({ id }) => id === "pathological::pathological-chain-same-subject-same-key")!;
    const startedAtMs = performance.now();
    const problem = await pathProblem({
      chain: [one.peer_certificate, ...one.untrusted_intermediates].map(der),
      roots: one.trusted_certs.map(der),
      nowMs: Date.now(),
      maxIntermediates: 100,
      requiresKeyIds: false,
    });
    assert.match(problem!, /too expensive|too long|not known|does not verify/);
    assert.ok(performance.now() - startedAtMs < 5_000);
  });
});

describe("go-spiffe's certificates", () => {
  const chainOf = (name: string): Uint8Array[] =>
    decodePem(readFileSync(new URL(`go-spiffe/svid_x509svid_testdata_${name}.pem`, fixtures), "utf8"), "CERTIFICATE");
  const idOf = (name: string): string => {
    const leaf = readCertificate(chainOf(name)[0]!);
    if (typeof leaf === "string") return leaf;
    const id = spiffeIdOfLeaf(leaf);
    return typeof id === "string" ? id : id.text;
  };

  const leaves: readonly [string, RegExp][] = [
    ["good-leaf-only", /^spiffe:\/\/example\.org\/workload-1$/],
    ["good-leaf-and-intermediate", /^spiffe:\/\/example\.org\/workload-1$/],
    ["wrong-leaf-ca-true", /CA certificate/],
    ["wrong-leaf-cert-sign", /keyCertSign/],
    ["wrong-leaf-crl-sign", /cRLSign/],
    ["wrong-leaf-empty-id", /no URI name/],
    ["wrong-leaf-no-digital-signature", /digitalSignature/],
  ];
  for (const [name, expected] of leaves) it(`spiffeIdOfLeaf() on ${name}`, () => assert.match(idOf(name), expected));

  for (const [name, reason] of [
    ["wrong-intermediate-no-ca", /not a CA/],
    ["wrong-intermediate-no-key-cert-sign", /may not sign certificates/],
  ] as const) {
    it(`pathProblem() refuses ${name}`, async () => {
      const chain = chainOf(name);
      const problem = await pathProblem({
        chain: chain.slice(0, 1),
        roots: chain.slice(1),
        nowMs: Date.UTC(2021, 0, 1),
        requiresKeyIds: false,
      });
      assert.match(problem!, reason);
    });
  }

  for (const name of [
    "svid_x509svid_testdata_corrupt-cert.pem",
    "svid_x509svid_testdata_not-pem",
    "bundle_x509bundle_testdata_corrupted.pem",
    "bundle_x509bundle_testdata_empty.pem",
    "bundle_x509bundle_testdata_not-pem.pem",
  ]) {
    it(`decodePem() or readCertificate() refuses ${name}`, () => {
      const text = readFileSync(new URL(`go-spiffe/${name}`, fixtures), "utf8");
      assert.throws(() => {
        for (const found of decodePem(text, "CERTIFICATE")) {
          const certificate = readCertificate(found);
          if (typeof certificate === "string") throw new Error(certificate);
        }
      });
    });
  }

  it("readCertificate() refuses roots of version 1, which cannot say that they are a CA", () => {
    const found = decodePem(
      readFileSync(new URL("go-spiffe/bundle_x509bundle_testdata_certs.pem", fixtures), "utf8"),
      "CERTIFICATE",
    );
    assert.deepEqual(found.map(readCertificate), [
      "malformed certificate: not version 3",
      "malformed certificate: not version 3",
    ]);
  });
});
