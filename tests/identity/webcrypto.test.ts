import assert from "node:assert/strict";
import { describe, it } from "node:test";
// Loaded before the platform's is hidden: Bun needs its own to load a module.
import "@peculiar/webcrypto";
import { webCrypto } from "../../src/identity/webcrypto.ts";

describe("webCrypto()", () => {
  it("webCrypto() is the platform's where there is one", async () =>
    assert.equal(await webCrypto(), globalThis.crypto));

  it("webCrypto() signs and verifies where the platform hides its own", async () => {
    const own = Object.getOwnPropertyDescriptor(globalThis, "crypto")!;
    Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true, writable: true });
    try {
      const { subtle } = await webCrypto();
      const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
      const keys = await subtle.generateKey(algorithm, true, ["sign", "verify"]);
      const bytes = Uint8Array.of(1, 2, 3);
      assert.equal(
        await subtle.verify(algorithm, keys.publicKey, await subtle.sign(algorithm, keys.privateKey, bytes), bytes),
        true,
      );
    } finally {
      Object.defineProperty(globalThis, "crypto", own);
    }
  });
});
