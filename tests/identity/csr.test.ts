import assert from "node:assert/strict";
import { describe, it } from "node:test";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { MeshError } from "../../src/errors.ts";
import { createKeyAndCsr, verifyCsr } from "../../src/identity/csr.ts";
import { encodeDer, encodeUnsigned, fromHex } from "../../src/identity/der-write.ts";
import { tags } from "../../src/identity/der.ts";
import { decodePem } from "../../src/identity/pem.ts";
import { importPrivateKey, isKeyPair } from "../../src/identity/private-key.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";

const orders = meshId("mesh.local", "default", "orders");

const denied = (text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MeshError, String(error));
  assert.equal(error.code, "ERR_CSR_DENIED");
  assert.match(error.message, text);
  return true;
};

async function csrOf(algorithm: RsaHashedKeyGenParams | EcKeyGenParams, hash = "SHA-256"): Promise<string> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: "CN=admin,O=evil",
    keys,
    signingAlgorithm: { ...algorithm, hash },
  });
  return request.toString("pem");
}

/** A request whose RSA modulus has so many bytes; unsigned, as no refusal may depend on computing with it. */
function rsaCsr(bytes: number, exponent = "010001"): Uint8Array {
  const modulus = new Uint8Array(bytes).fill(0xff);
  const key = encodeDer(tags.sequence, encodeUnsigned(modulus), encodeUnsigned(fromHex(exponent)));
  const spki = encodeDer(
    tags.sequence,
    fromHex("300d06092a864886f70d0101010500"),
    encodeDer(tags.bitString, Uint8Array.of(0), key),
  );
  const info = encodeDer(
    tags.sequence,
    encodeUnsigned(Uint8Array.of(0)),
    encodeDer(tags.sequence),
    spki,
    encodeDer(0xa0),
  );
  return encodeDer(
    tags.sequence,
    info,
    fromHex("300d06092a864886f70d01010b0500"),
    encodeDer(tags.bitString, Uint8Array.of(0), modulus),
  );
}

describe("createKeyAndCsr()", () => {
  it("createKeyAndCsr() writes what others read: key, name, signature", async () => {
    const { csrPem, privateKeyPem } = await createKeyAndCsr(orders);
    const request = new x509.Pkcs10CertificateRequest(csrPem);
    assert.equal(await request.verify(), true);
    assert.equal(request.subject, "");
    const names = request.getExtension("2.5.29.17");
    assert.ok(names instanceof x509.SubjectAlternativeNameExtension);
    assert.deepEqual(names.names.toJSON(), [{ type: "url", value: orders.text }]);
    assert.equal(names.critical, true);
    assert.equal(await isKeyPair(privateKeyPem, new Uint8Array(request.publicKey.rawData)), true);
  });

  it("createKeyAndCsr() signs validly whatever the signature's bytes are", async () => {
    for (let i = 0; i < 40; i++)
      assert.deepEqual((await verifyCsr((await createKeyAndCsr(orders)).csrPem)).uris, [orders.text]);
  });
});

describe("verifyCsr()", () => {
  it("verifyCsr() accepts P-256, P-384 and RSA of others, as PEM or DER", async () => {
    const rsa = {
      name: "RSASSA-PKCS1-v1_5",
      modulusLength: 2048,
      publicExponent: Uint8Array.of(1, 0, 1),
      hash: "SHA-256",
    };
    for (const csr of [
      await csrOf({ name: "ECDSA", namedCurve: "P-256" }),
      await csrOf({ name: "ECDSA", namedCurve: "P-384" }, "SHA-384"),
      await csrOf(rsa),
    ]) {
      assert.deepEqual((await verifyCsr(csr)).uris, []);
      assert.deepEqual((await verifyCsr(decodePem(csr, "CERTIFICATE REQUEST")[0]!)).uris, []);
    }
  });

  it("verifyCsr() refuses a request whose maker does not hold the key", async () => {
    const mine = decodePem((await createKeyAndCsr(orders)).csrPem, "CERTIFICATE REQUEST")[0]!;
    const theirs = decodePem((await createKeyAndCsr(orders)).csrPem, "CERTIFICATE REQUEST")[0]!;
    // Their key in my request: every length is the same, so the bytes can be put in place.
    const stolen = mine.slice();
    stolen.set(theirs.subarray(0, 100), 0);
    await assert.rejects(verifyCsr(stolen), denied(/possession of the key|malformed/));
  });

  it("verifyCsr() refuses keys that are too small, too large or oddly made, before it computes with them", async () => {
    for (const [bytes, reason] of [
      [128, /1024 bits/],
      [255, /2040 bits/],
      [513, /4104 bits/],
      [2048, /16384 bits/],
    ] as const) {
      const csr = rsaCsr(bytes);
      const startedAtMs = performance.now();
      await assert.rejects(verifyCsr(csr), denied(reason));
      assert.ok(performance.now() - startedAtMs < 50, `${bytes} bytes took ${performance.now() - startedAtMs} ms`);
    }
    for (const exponent of ["01", "03", "010000000001"])
      await assert.rejects(verifyCsr(rsaCsr(256, exponent)), denied(/exponent/));
  });

  it("verifyCsr() refuses what is too large to be one without reading it", async () => {
    await assert.rejects(verifyCsr(new Uint8Array(8193)), denied(/too large/));
    await assert.rejects(verifyCsr("x".repeat(20_000)), denied(/too large/));
  });

  it("verifyCsr() answers any text and bytes with a refusal", async () => {
    await assert.rejects(verifyCsr("nonsense"), denied(/not PEM/));
    await assert.rejects(
      verifyCsr("-----BEGIN CERTIFICATE REQUEST-----\n!!!\n-----END CERTIFICATE REQUEST-----"),
      denied(/not PEM/),
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await assert.rejects(verifyCsr(encodeDer(tags.sequence, bytes)), denied(/./));
      }),
    );
  });

  it("verifyCsr() refuses a request with any byte changed", async () => {
    const der = decodePem((await createKeyAndCsr(orders)).csrPem, "CERTIFICATE REQUEST")[0]!;
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: der.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = der.slice();
        changed[at] = changed[at]! ^ flip;
        await assert.rejects(verifyCsr(changed), denied(/./));
      }),
      { numRuns: 300 },
    );
  });
});

describe("private keys", () => {
  it("importPrivateKey() says how to convert a key in an old format", async () => {
    const old = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
    await assert.rejects(
      importPrivateKey(old),
      (error) => error instanceof MeshError && /openssl pkcs8/.test(error.advice ?? ""),
    );
  });

  it("isKeyPair() tells keys apart, also of different kinds", async () => {
    const [a, b] = [await createKeyAndCsr(orders), await createKeyAndCsr(orders)];
    const keyOf = (csrPem: string) => new Uint8Array(new x509.Pkcs10CertificateRequest(csrPem).publicKey.rawData);
    assert.equal(await isKeyPair(a.privateKeyPem, keyOf(a.csrPem)), true);
    assert.equal(await isKeyPair(a.privateKeyPem, keyOf(b.csrPem)), false);
    assert.equal(
      await isKeyPair(a.privateKeyPem, keyOf(await csrOf({ name: "ECDSA", namedCurve: "P-384" }, "SHA-384"))),
      false,
    );
  });
});
