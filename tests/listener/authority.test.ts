import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseAuthority } from "../../src/wire/authority.ts";
import { exchangeBytes } from "./over-the-wire.ts";

/** Host values as clients, scanners and attackers send them, after the cases of nginx's http_host.t and reliability notes. */
const accepted: readonly (readonly [string, string])[] = [
  ["www.abcd-ef.com", "www.abcd-ef.com"],
  ["WWW.ABCD.COM", "www.abcd.com"],
  ["Secret.COM", "secret.com"],
  ["secret.com.", "secret.com"],
  ["secret.com:80", "secret.com"],
  ["secret.com.:80", "secret.com"],
  ["localhost:8080", "localhost:8080"],
  ["localhost.:8080", "localhost:8080"],
  ["orders", "orders"],
  ["orders.default.svc.cluster.local:9001", "orders.default.svc.cluster.local:9001"],
  ["my_service", "my_service"],
  ["1.2.3.4", "1.2.3.4"],
  ["123.40.56.78:9000", "123.40.56.78:9000"],
  ["[::1]", "[::1]"],
  ["[::1]:443", "[::1]:443"],
  ["[ABCD::ef98:0:7654:321]", "[abcd::ef98:0:7654:321]"],
  ["[abcd::ef98:0:7654:321]:80", "[abcd::ef98:0:7654:321]"],
  ["[::ffff:1.2.3.4]:65535", "[::ffff:1.2.3.4]:65535"],
  ["xn--bcher-kva.example", "xn--bcher-kva.example"],
];

const refused: readonly string[] = [
  "",
  ".",
  "..",
  ".com",
  "a..b",
  "localhost..",
  "localhost..:80",
  ":",
  ":80",
  "a b",
  " a",
  "a ",
  "a\tb",
  "a, b",
  "a,b",
  "a;b",
  "a/evil",
  "a/admin?",
  "a?x",
  "a#x",
  "a\\b",
  "x@a",
  "user:pass@a",
  "a:80:80",
  "a:80a",
  "a:+80",
  "a:-1",
  "a: 80",
  "a:65536",
  "a:99999999999999999999",
  "a%2eb",
  "a%00b",
  "a%2fevil",
  "a\0b",
  "a\u007fb",
  "a\u00e9b",
  "a<b>",
  'a"b',
  "a'b",
  "a{b}",
  "a|b",
  "a^b",
  "a`b",
  "a=b",
  "a&b",
  "a*b",
  "a!b",
  "a$b",
  "a(b)",
  "[",
  "]",
  "[]",
  "[:]",
  "[::1",
  "::1",
  "::1]",
  "[::1]x",
  "[::1]:x",
  "[::1].com",
  "[fe80::1%eth0]",
  "[fe80::1%25eth0]",
  "[v1.fe80]",
  "[1.2.3.4]",
  "[::g]",
  "a[::1]",
  "http://a",
];

describe("parseAuthority()", () => {
  for (const [text, canonical] of accepted) {
    it(`reads ${JSON.stringify(text)} as ${canonical}`, () => assert.equal(parseAuthority(text, 80), canonical));
  }

  for (const text of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseAuthority(text, 80), null));
  }

  it("is idempotent: what it calls canonical stays so", () => {
    const alphabet = fc.string({ unit: fc.constantFrom(..."aB0.-_:[]f%/@ "), maxLength: 12 });
    fc.assert(
      fc.property(
        fc.oneof(
          alphabet,
          fc.domain(),
          fc.ipV4(),
          fc.ipV6().map((address) => `[${address}]`),
        ),
        (text) => {
          const canonical = parseAuthority(text, 80);
          if (canonical !== null) assert.equal(parseAuthority(canonical, 80), canonical, text);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("lets nothing through that a URL parser would take for more than a host and a port", () => {
    const alphabet = fc.string({ unit: fc.constantFrom(..."ab0.-_:[]f%/\\@?#"), maxLength: 10 });
    fc.assert(
      fc.property(alphabet, (text) => {
        const canonical = parseAuthority(text, 80);
        if (canonical === null || !URL.canParse(`http://${canonical}/p`)) return;
        const url = new URL(`http://${canonical}/p`);
        assert.deepEqual(
          [url.pathname, url.search, url.hash, url.username, url.password],
          ["/p", "", "", "", ""],
          text,
        );
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a listener", () => {
  for (const host of ["a, b", "a/admin?", "x@a", "a b", ".", "a%2eb"]) {
    it(`answers Host: ${host} with 400 and asks nobody`, async () => {
      let calls = 0;
      const handler = async (): Promise<Response> => new Response(String(++calls));
      const reply = await exchangeBytes(
        { handler },
        `GET /public HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      );
      assert.match(reply, /^HTTP\/1\.1 400 [^]*"code":"ERR_REQUEST_MALFORMED"/);
      assert.equal(calls, 0);
    });
  }

  it("refuses two Host lines and none", async () => {
    const handler = async (): Promise<Response> => new Response("");
    assert.match(await exchangeBytes({ handler }, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), /^HTTP\/1\.1 400 /);
    assert.match(await exchangeBytes({ handler }, "GET / HTTP/1.1\r\nAccept: x\r\n\r\n"), /^HTTP\/1\.1 400 /);
  });
});
