import assert from "node:assert/strict";
import { describe, it } from "node:test";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { systemClock, type Clock } from "../../src/clock.ts";
import { MeshError } from "../../src/errors.ts";
import { loadAuthority, type AuthorityFiles } from "../../src/identity/authority-files.ts";
import {
  initAuthority,
  openAuthority,
  type AuthorityMaterial,
  type IssuedCertificate,
} from "../../src/identity/authority.ts";
import { readCertificate } from "../../src/identity/certificate.ts";
import { createKeyAndCsr } from "../../src/identity/csr.ts";
import { rootFingerprint } from "../../src/identity/fingerprint.ts";
import { verifySpiffeLeaf } from "../../src/identity/leaf.ts";
import { meshId, requireSpiffeId } from "../../src/identity/spiffe-id.ts";
import { verifySvid } from "../../src/identity/verify-svid.ts";
import { verifyReaderToken, createReaderToken } from "../../src/identity/token.ts";
import { certificateDer, makeAuthority } from "./support.ts";

const orders = meshId("mesh.local", "default", "orders");
const dayMs = 86_400_000;
const options = { trustDomain: "mesh.local", mesh: "default", clock: systemClock };

const clockAt = (now: { epochMs: number }): Clock => ({ ...systemClock, epochMs: () => now.epochMs });

function memoryFiles(): AuthorityFiles & { readonly texts: Map<string, string> } {
  const texts = new Map<string, string>();
  return {
    texts,
    read: async (name) => texts.get(name) ?? null,
    async write(name, text) {
      texts.set(name, text);
    },
  };
}

const unusable = (text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MeshError, String(error));
  assert.equal(error.code, "ERR_OPTION_INVALID");
  assert.match(error.message, text);
  assert.ok(error.advice);
  return true;
};

describe("issue()", () => {
  it("issue() gives a leaf that keeps every rule, of the identity proved and with the requested key", async () => {
    const authority = await makeAuthority();
    const { csrPem } = await createKeyAndCsr(orders);
    const nowMs = Date.now();
    const { chainPem, notAfterMs, serial, spiffeId } = await authority.issue(csrPem, orders, { ttlMs: 3_600_000 });
    const chain = certificateDer(chainPem);
    assert.equal(chain.length, 2);
    const id = await verifySvid({ chain, roots: authority.rootsPem.flatMap(certificateDer), nowMs });
    assert.equal(typeof id === "string" ? id : id.text, orders.text);
    assert.equal(spiffeId, orders.text);

    const leaf = new x509.X509Certificate(chain[0] as Uint8Array<ArrayBuffer>);
    assert.equal(leaf.subject, "");
    assert.equal(leaf.serialNumber, serial);
    assert.deepEqual(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON(), [
      { type: "url", value: orders.text },
    ]);
    assert.equal(leaf.publicKey.toString("hex"), new x509.Pkcs10CertificateRequest(csrPem).publicKey.toString("hex"));
    assert.equal(leaf.notAfter.getTime(), notAfterMs);
    assert.ok(notAfterMs >= nowMs + 3_600_000 && notAfterMs < nowMs + 3_610_000);
    const backMs = nowMs - leaf.notBefore.getTime();
    assert.ok(backMs >= 9_000 && backMs <= 12_000, `not before ${backMs} ms ago`);
  });

  it("issue() copies nothing from a request: no subject, no name, no CA flag", async () => {
    const authority = await makeAuthority();
    const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const request = await x509.Pkcs10CertificateRequestGenerator.create({
      name: "CN=admin",
      keys,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions: [
        new x509.SubjectAlternativeNameExtension([
          { type: "url", value: "spiffe://mesh.local/ns/x/sa/root" },
          { type: "dns", value: "bank.example" },
        ]),
        new x509.BasicConstraintsExtension(true, 3, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    const { chainPem } = await authority.issue(new Uint8Array(request.rawData), orders, { ttlMs: 60_000 });
    const peer = verifySpiffeLeaf(certificateDer(chainPem)[0]!, { trustDomain: "mesh.local", nowMs: Date.now() });
    assert.equal(typeof peer === "string" ? peer : peer.id.text, orders.text);
    const leaf = new x509.X509Certificate(chainPem);
    assert.deepEqual(
      [leaf.subject, leaf.getExtension(x509.SubjectAlternativeNameExtension)?.names.items.length],
      ["", 1],
    );
  });

  it("issue() gives a life of two seconds at least two seconds", async () => {
    const authority = await makeAuthority();
    const { csrPem } = await createKeyAndCsr(orders);
    const nowMs = Date.now();
    const { notAfterMs } = await authority.issue(csrPem, orders, { ttlMs: 2000 });
    assert.ok(notAfterMs >= nowMs + 2000 && notAfterMs < nowMs + 4000);
    await assert.rejects(authority.issue(csrPem, orders, { ttlMs: 999 }), RangeError);
    await assert.rejects(authority.issue(csrPem, orders, { ttlMs: NaN }), RangeError);
  });

  it("issue() never outlives its issuer, and never repeats a serial number", async () => {
    const authority = await makeAuthority();
    const { csrPem } = await createKeyAndCsr(orders);
    const issued = await Promise.all(
      Array.from({ length: 20 }, () => authority.issue(csrPem, orders, { ttlMs: 4_000 * dayMs })),
    );
    const intermediate = readCertificate(certificateDer(issued[0]!.chainPem)[1]!);
    assert.ok(typeof intermediate !== "string");
    assert.equal(issued[0]!.notAfterMs, intermediate.notAfterMs);
    assert.equal(new Set(issued.map(({ serial }) => serial)).size, 20);
    for (const { serial } of issued) assert.match(serial, /^[4-7][0-9a-f]{31}$/);
  });

  it("issue() refuses identities of other trust domains and of a trust domain itself", async () => {
    const authority = await makeAuthority();
    const { csrPem } = await createKeyAndCsr(orders);
    for (const id of ["spiffe://other/ns/default/sa/orders", "spiffe://mesh.local"]) {
      await assert.rejects(
        authority.issue(csrPem, requireSpiffeId(id), { ttlMs: 60_000 }),
        (error) => error instanceof MeshError && error.code === "ERR_CSR_DENIED",
      );
    }
  });

  it("issue() adds host names and addresses for a server, and tells the audit log", async () => {
    const issued: IssuedCertificate[] = [];
    const authority = await openAuthority({
      ...options,
      material: await initAuthority(options),
      issued: (one) => issued.push(one),
    });
    const { csrPem } = await createKeyAndCsr(orders);
    const { chainPem, serial } = await authority.issue(csrPem, orders, {
      ttlMs: 60_000,
      dnsNames: ["localhost"],
      ipAddresses: ["127.0.0.1", "::1"],
    });
    const names = new x509.X509Certificate(chainPem).getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON();
    assert.deepEqual(
      names?.map(({ type }) => type),
      ["url", "dns", "ip", "ip"],
    );
    assert.deepEqual(
      issued.map((one) => [one.spiffeId, one.serial]),
      [[orders.text, serial]],
    );
  });
});

describe("loadAuthority()", () => {
  it("loadAuthority() makes a CA once and finds it again", async () => {
    const files = memoryFiles();
    const first = await loadAuthority(files, options);
    assert.deepEqual([...files.texts.keys()].sort(), [
      "intermediate.key",
      "intermediate.pem",
      "root.key",
      "root.pem",
      "token.key",
    ]);
    const second = await loadAuthority(files, options);
    assert.deepEqual(second.rootsPem, first.rootsPem);
    assert.equal(second.rootFingerprint, rootFingerprint(files.texts.get("root.pem")!));
    const token = await createReaderToken(first.tokenKey, {
      mesh: "default",
      subject: "x",
      ttlMs: 60_000,
      nowMs: Date.now(),
    });
    await verifyReaderToken(second.tokenKey, token, { mesh: "default", nowMs: Date.now() });
    const { csrPem } = await createKeyAndCsr(orders);
    const { chainPem } = await second.issue(csrPem, orders, { ttlMs: 60_000 });
    assert.equal(
      typeof (await verifySvid({
        chain: certificateDer(chainPem),
        roots: first.rootsPem.flatMap(certificateDer),
        nowMs: Date.now(),
      })),
      "object",
    );
  });

  it("loadAuthority() makes a CA anew if the first attempt was cut off before it issued anything", async () => {
    const files = memoryFiles();
    files.texts.set("root.key", "half");
    await loadAuthority(files, options);
    assert.match(files.texts.get("root.key")!, /BEGIN PRIVATE KEY/);
  });

  it("loadAuthority() does not replace a CA of which a part is missing or damaged", async () => {
    for (const name of ["intermediate.key", "intermediate.pem", "token.key"]) {
      const files = memoryFiles();
      await loadAuthority(files, options);
      files.texts.delete(name);
      await assert.rejects(loadAuthority(files, options), unusable(new RegExp(`${name} is missing`)));
    }
    const files = memoryFiles();
    await loadAuthority(files, options);
    files.texts.set("root.key", (await createKeyAndCsr(orders)).privateKeyPem);
    await assert.rejects(loadAuthority(files, options), unusable(/root\.key is not the key of root\.pem/));
  });

  it("loadAuthority() refuses a CA of another trust domain", async () => {
    const files = memoryFiles();
    await loadAuthority(files, options);
    await assert.rejects(
      loadAuthority(files, { ...options, trustDomain: "other" }),
      unusable(/is of spiffe:\/\/mesh\.local, not of spiffe:\/\/other/),
    );
  });

  it("loadAuthority() works with the root key kept elsewhere", async () => {
    const files = memoryFiles();
    await loadAuthority(files, options);
    files.texts.delete("root.key");
    const { csrPem } = await createKeyAndCsr(orders);
    await (await loadAuthority(files, options)).issue(csrPem, orders, { ttlMs: 60_000 });
    files.texts.set("intermediate.key", (await createKeyAndCsr(orders)).privateKeyPem);
    await assert.rejects(loadAuthority(files, options), unusable(/intermediate\.key is not the key/));
  });

  it("loadAuthority() makes a new intermediate where a crash left key and certificate of different ones", async () => {
    const files = memoryFiles();
    const { rootsPem } = await loadAuthority(files, options);
    files.texts.set("intermediate.key", (await createKeyAndCsr(orders)).privateKeyPem);
    const authority = await loadAuthority(files, options);
    const { csrPem } = await createKeyAndCsr(orders);
    const { chainPem } = await authority.issue(csrPem, orders, { ttlMs: 60_000 });
    assert.equal(
      typeof (await verifySvid({
        chain: certificateDer(chainPem),
        roots: rootsPem.flatMap(certificateDer),
        nowMs: Date.now(),
      })),
      "object",
    );
  });

  it("issue() renews the intermediate a month before it ends, once, and stores it first", async () => {
    const now = { epochMs: Date.now() };
    const files = memoryFiles();
    const authority = await loadAuthority(files, { ...options, clock: clockAt(now) });
    const old = files.texts.get("intermediate.pem");
    const { csrPem } = await createKeyAndCsr(orders);
    await authority.issue(csrPem, orders, { ttlMs: dayMs });
    assert.equal(files.texts.get("intermediate.pem"), old);
    now.epochMs += 340 * dayMs;
    const issued = await Promise.all(
      Array.from({ length: 5 }, () => authority.issue(csrPem, orders, { ttlMs: dayMs })),
    );
    const renewed = files.texts.get("intermediate.pem")!;
    assert.notEqual(renewed, old);
    for (const { chainPem } of issued) {
      assert.ok(chainPem.endsWith(renewed));
      const chain = certificateDer(chainPem);
      assert.equal(
        typeof (await verifySvid({ chain, roots: authority.rootsPem.flatMap(certificateDer), nowMs: now.epochMs })),
        "object",
      );
    }
  });

  it("issue() goes on with the old intermediate while a new one cannot be stored", async () => {
    const now = { epochMs: Date.now() };
    const files = memoryFiles();
    const failures: unknown[] = [];
    const authority = await loadAuthority(files, {
      ...options,
      clock: clockAt(now),
      failed: (error) => failures.push(error),
    });
    const write = files.write.bind(files);
    files.write = () => Promise.reject(new Error("disk full"));
    now.epochMs += 340 * dayMs;
    const { csrPem } = await createKeyAndCsr(orders);
    const old = await authority.issue(csrPem, orders, { ttlMs: dayMs });
    assert.match(String(failures[0]), /disk full/);
    files.write = write;
    const renewed = await authority.issue(csrPem, orders, { ttlMs: dayMs });
    assert.equal(failures.length, 1);
    for (const { chainPem } of [old, renewed]) {
      const roots = authority.rootsPem.flatMap(certificateDer);
      assert.equal(typeof (await verifySvid({ chain: certificateDer(chainPem), roots, nowMs: now.epochMs })), "object");
    }
    assert.notEqual(certificateDer(old.chainPem)[1]!.join(), certificateDer(renewed.chainPem)[1]!.join());
  });

  it("openAuthority() believes every root in root.pem and signs under the first", async () => {
    const material: AuthorityMaterial = await initAuthority(options);
    const next = await initAuthority(options);
    const authority = await openAuthority({
      ...options,
      material: { ...material, rootsPem: material.rootsPem + next.rootsPem },
    });
    assert.equal(authority.rootsPem.length, 2);
    assert.equal(authority.rootFingerprint, rootFingerprint(material.rootsPem));
  });

  it("a root is a trust domain that may sign one level of issuers, and nothing that could pass for a workload", async () => {
    const { rootsPem, intermediatePem } = await initAuthority(options);
    for (const [pem, pathLength] of [
      [rootsPem, 1],
      [intermediatePem, 0],
    ] as const) {
      const certificate = readCertificate(certificateDer(pem)[0]!);
      assert.ok(typeof certificate !== "string");
      assert.deepEqual(certificate.extensions.basicConstraints, { isCa: true, pathLength, isCritical: true });
      assert.deepEqual(certificate.extensions.subjectAltName?.uris, ["spiffe://mesh.local"]);
      assert.equal(certificate.extensions.keyUsage?.isCritical, true);
      assert.equal(
        typeof verifySpiffeLeaf(certificate.der, { trustDomain: "mesh.local", nowMs: Date.now() }),
        "string",
      );
    }
  });
});
