import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readCertificate } from "../../src/identity/certificate.ts";
import { encodeDer, encodeUnsigned, fromHex } from "../../src/identity/der-write.ts";
import { DerError, DerReader, hex, tags } from "../../src/identity/der.ts";

const reader = (text: string): DerReader => new DerReader(fromHex(text.replaceAll(" ", "")));

describe("DerReader", () => {
  const malformed: readonly [string, string, (der: DerReader) => unknown][] = [
    ["an indefinite length", "30 80 00 00", (der) => der.read(tags.sequence)],
    ["a long form for a short length", "30 81 01 00", (der) => der.read(tags.sequence)],
    ["a length with leading zeros", "30 82 00 80" + "00".repeat(128), (der) => der.read(tags.sequence)],
    ["a length of five bytes", "30 85 01 00 00 00 00", (der) => der.read(tags.sequence)],
    ["a reserved length", "30 ff 00", (der) => der.read(tags.sequence)],
    ["a length beyond the end", "30 05 00", (der) => der.read(tags.sequence)],
    ["a length that is cut", "30 82 01", (der) => der.read(tags.sequence)],
    ["no length", "30", (der) => der.read(tags.sequence)],
    ["nothing", "", (der) => der.read(tags.sequence)],
    ["a child longer than its parent", "30 02 04 05", (der) => der.read(tags.sequence).read(tags.octetString)],
    [
      "a child whose length lies outside of its parent",
      "30 01 04 00",
      (der) => der.read(tags.sequence).read(tags.octetString),
    ],
    ["another tag", "31 00", (der) => der.read(tags.sequence)],
    ["a tag number of several bytes", "3f 81 01 00", (der) => der.element()],
    ["an empty integer", "02 00", (der) => der.integer()],
    ["an integer with a superfluous zero", "02 02 00 7f", (der) => der.integer()],
    ["an integer with superfluous ones", "02 02 ff 80", (der) => der.integer()],
    ["a negative small integer", "02 01 80", (der) => der.smallInteger()],
    ["a small integer of five bytes", "02 05 01 00 00 00 00", (der) => der.smallInteger()],
    ["a boolean that is neither", "01 01 01", (der) => der.boolean()],
    ["a boolean of two bytes", "01 02 ff ff", (der) => der.boolean()],
    ["an object identifier that does not end", "06 02 55 9d", (der) => der.oid()],
    ["an empty object identifier", "06 00", (der) => der.oid()],
    ["a bit string with unused bits where bytes are expected", "03 02 04 f0", (der) => der.octets()],
    ["an empty bit string", "03 00", (der) => der.octets()],
  ];
  for (const [what, text, read] of malformed) {
    it(`DerReader refuses ${what}`, () => assert.throws(() => read(reader(text)), DerError));
  }

  it("DerReader.finish() refuses what is left over", () => {
    const der = reader("05 00 05 00");
    der.read(tags.null);
    assert.throws(() => der.finish(), DerError);
    der.read(tags.null);
    der.finish();
  });

  it("DerReader reads back what encodeDer() writes, of every length form", () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535]) {
      const content = new Uint8Array(length).fill(7);
      const der = new DerReader(encodeDer(tags.octetString, content));
      assert.deepEqual(der.read(tags.octetString).rest(), content);
      der.finish();
    }
  });

  it("encodeUnsigned() writes minimal, positive integers", () => {
    assert.equal(hex(encodeUnsigned(Uint8Array.of(0))), "020100");
    assert.equal(hex(encodeUnsigned(Uint8Array.of(0, 0, 0x7f))), "02017f");
    assert.equal(hex(encodeUnsigned(Uint8Array.of(0x80))), "02020080");
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 48 }), (bytes) => {
        const content = new DerReader(encodeUnsigned(bytes)).integer();
        assert.equal(BigInt(`0x0${hex(content)}`), BigInt(`0x0${hex(bytes)}`));
      }),
    );
  });

  it("readCertificate() answers arbitrary bytes with a reason", () => {
    const framed = fc
      .uint8Array({ maxLength: 400 })
      .map((bytes) => encodeDer(tags.sequence, encodeDer(tags.sequence, bytes)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), framed), (bytes) => {
        assert.equal(typeof readCertificate(bytes), "string");
      }),
      { numRuns: 2000 },
    );
  });

  it("readCertificate() does not look at what is too large to be one", () => {
    assert.equal(readCertificate(new Uint8Array(16_385)), "certificate is too large");
  });
});
