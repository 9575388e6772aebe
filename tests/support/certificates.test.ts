import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, it } from "node:test";
import { makeCa, makeServiceLeaf, spiffeIdOf } from "./certificates.ts";

describe("test certificates", () => {
  it("makeServiceLeaf() gives a leaf that its CA signed and nobody else did", async () => {
    const root = await makeCa();
    const intermediate = await makeCa({ name: "test intermediate", parent: root });
    const other = await makeCa();
    const leaf = await makeServiceLeaf(intermediate, "orders");
    const parsed = new X509Certificate(leaf.certificatePem);
    assert.equal(parsed.verify(new X509Certificate(intermediate.certificatePem).publicKey), true);
    assert.equal(parsed.verify(new X509Certificate(other.certificatePem).publicKey), false);
    assert.equal(parsed.subjectAltName, `URI:${spiffeIdOf("orders")}`);
    assert.equal(leaf.identity.certificateChainPem.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.deepEqual(intermediate.trust.rootsPem, [root.certificatePem]);
  });
});
