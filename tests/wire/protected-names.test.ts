import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isProtectedHeader, mayBeProtected } from "../../src/protected-headers.ts";
import { HeadParser } from "../../src/wire/head-parser.ts";
import { wireDefaults } from "../../src/wire/message.ts";
import { RequestLines } from "../../src/wire/request-head.ts";

const token = fc.string({ unit: fc.constantFrom(..."abcdefilmnoprstvxy0159-_.!"), minLength: 1, maxLength: 24 });
const own = fc
  .tuple(
    fc.constantFrom(
      "x-forwarded-client-cert",
      "client-cert",
      "l5d-",
      "x-envoy-",
      "x-fetchmesh-",
      "x-mesh-",
      "x-spiffe-",
      "content-type",
    ),
    fc.constantFrom("", "a", "id"),
  )
  .map((parts) => parts.join(""));
const spelt = fc.tuple(fc.oneof(token, own), fc.boolean(), fc.boolean()).map(([name, isUpper, hasUnderscores]) => {
  const cased = isUpper ? name.toUpperCase() : name;
  return hasUnderscores ? cased.replaceAll("-", "_") : cased;
});

function headOf(names: readonly string[]): RequestLines {
  const parser = new HeadParser("request", wireDefaults);
  const lines = names.map((name) => `${name}: v\r\n`).join("");
  parser.feed(Buffer.from(`GET / HTTP/1.1\r\nHost: orders\r\n${lines}\r\n`), 0);
  return new RequestLines(parser.head!);
}

describe("names()", () => {
  it("leaves out no protected name, however it is spelt, when asked only for what may be one", () => {
    fc.assert(
      fc.property(fc.array(spelt, { maxLength: 8 }), (names) => {
        const framing = /^(?:host|content-length|transfer-encoding|te|connection|upgrade|expect)$/i;
        const head = headOf(names.filter((name) => !framing.test(name)));
        const isOwn = (name: string): boolean => isProtectedHeader(name);
        assert.deepEqual(head.names(mayBeProtected).filter(isOwn), head.names().filter(isOwn));
      }),
      { numRuns: 500 },
    );
  });

  it("cuts none of the names that most requests have", () => {
    assert.deepEqual(headOf(["Accept", "User-Agent", "Authorization"]).names(mayBeProtected), []);
  });
});
