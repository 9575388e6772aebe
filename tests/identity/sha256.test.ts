import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { sha256Hex } from "../../src/identity/sha256.ts";

describe("sha256Hex()", () => {
  // FIPS 180-4 examples and NIST's long message.
  const vectors: readonly [string, string, string][] = [
    ["nothing", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["one block", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    [
      "two blocks",
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ],
    ["a million times a", "a".repeat(1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"],
  ];
  for (const [name, text, digest] of vectors) {
    it(`sha256Hex() of ${name}`, () => assert.equal(sha256Hex(new TextEncoder().encode(text)), digest));
  }

  it("sha256Hex() agrees with the platform for every length around the padding's edges", () => {
    for (let length = 0; length <= 260; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 131 + length) & 0xff);
      assert.equal(sha256Hex(bytes), createHash("sha256").update(bytes).digest("hex"), `length ${length}`);
    }
  });

  it("sha256Hex() agrees with the platform for arbitrary bytes, and reads views where they lie", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat({ max: 50 }), (bytes, from) => {
        const view = bytes.subarray(from);
        assert.equal(sha256Hex(view), createHash("sha256").update(view).digest("hex"));
      }),
    );
  });
});
