import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MeshError } from "../../src/errors.ts";
import { HeaderEdits } from "../../src/headers.ts";
import { HeadParser } from "../../src/wire/head-parser.ts";
import { wireDefaults, type WireLimits } from "../../src/wire/message.ts";
import { RequestLines } from "../../src/wire/request-head.ts";
import { ResponseLines } from "../../src/wire/response-head.ts";
import { bytesOf } from "./scripted-socket.ts";

/** Parses a request head fed in pieces of these sizes, then whatever is left. */
function parse(text: string, sizes: readonly number[] = [], limits: WireLimits = wireDefaults): RequestLines {
  const parser = new HeadParser("request", limits);
  const bytes = bytesOf(text);
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    const piece = bytes.slice(at, at + size);
    if (piece.length === 0) continue;
    const next = parser.feed(piece, 0);
    if (next >= 0) {
      assert.equal(at + next, text.indexOf("\r\n\r\n") + 4, "ends where the empty line ends");
      return new RequestLines(parser.head!);
    }
    at += piece.length;
  }
  throw new Error("incomplete");
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return error instanceof MeshError ? error.code : String(error);
  }
  return "accepted";
}

const get = (lines: string, target = "/"): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;

const refused: readonly (readonly [what: string, head: string, code: string])[] = [
  [
    "Content-Length and Transfer-Encoding",
    get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
    "ERR_REQUEST_MALFORMED",
  ],
  ["two Content-Lengths that differ", get("Content-Length: 3\r\nContent-Length: 4\r\n"), "ERR_REQUEST_MALFORMED"],
  ["two Content-Lengths that agree", get("Content-Length: 3\r\nContent-Length: 3\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a list of Content-Lengths", get("Content-Length: 3, 3\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a signed Content-Length", get("Content-Length: +3\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a negative Content-Length", get("Content-Length: -1\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a hexadecimal Content-Length", get("Content-Length: 0x3\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a Content-Length in exponents", get("Content-Length: 1e3\r\n"), "ERR_REQUEST_MALFORMED"],
  ["an empty Content-Length", get("Content-Length:\r\n"), "ERR_REQUEST_MALFORMED"],
  ["an overflowing Content-Length", get("Content-Length: 18446744073709551617\r\n"), "ERR_REQUEST_MALFORMED"],
  ["Transfer-Encoding: xchunked", get("Transfer-Encoding: xchunked\r\n"), "ERR_REQUEST_MALFORMED"],
  ["Transfer-Encoding: chunked, identity", get("Transfer-Encoding: chunked, identity\r\n"), "ERR_REQUEST_MALFORMED"],
  ["Transfer-Encoding: chunked, chunked", get("Transfer-Encoding: chunked, chunked\r\n"), "ERR_REQUEST_MALFORMED"],
  ["Transfer-Encoding: ,chunked", get("Transfer-Encoding: ,chunked\r\n"), "ERR_REQUEST_MALFORMED"],
  [
    "Transfer-Encoding twice",
    get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "ERR_REQUEST_MALFORMED",
  ],
  ["Transfer-Encoding: identity", get("Transfer-Encoding: identity\r\n"), "ERR_REQUEST_MALFORMED"],
  ["Transfer-Encoding with a vertical tab", get("Transfer-Encoding: \x0bchunked\r\n"), "ERR_REQUEST_MALFORMED"],
  ["an empty Transfer-Encoding", get("Transfer-Encoding:\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a coding we do not speak", get("Transfer-Encoding: gzip, chunked\r\n"), "ERR_METHOD_NOT_IMPLEMENTED"],
  [
    "Transfer-Encoding in HTTP/1.0",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "ERR_REQUEST_MALFORMED",
  ],
  ["a folded line", get("X: 1\r\n 2\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a space before the colon", get("X : 1\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a tab before the colon", get("Transfer-Encoding\t: chunked\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a line without a colon", get("X\r\n"), "ERR_REQUEST_MALFORMED"],
  ["an empty name", get(": 1\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a bare LF behind a line", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", "ERR_REQUEST_MALFORMED"],
  ["a bare CR in a value", get("X: 1\r2\r\n"), "ERR_REQUEST_MALFORMED"],
  ["NUL in a value", get("X: 1\0\r\n"), "ERR_REQUEST_MALFORMED"],
  ["NUL in a name", get("X\0: 1\r\n"), "ERR_REQUEST_MALFORMED"],
  ["another control in a value", get("X: \x01\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a byte above ASCII in a name", get("X\xe9: 1\r\n"), "ERR_REQUEST_MALFORMED"],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["two Hosts", get("Host: a\r\n"), "ERR_REQUEST_MALFORMED"],
  ["a Host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a Host with a path", "GET /api HTTP/1.1\r\nHost: a/admin?\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a Host with a user", "GET / HTTP/1.1\r\nHost: x@a\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a Host with a fragment", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a Host with a port beyond 65535", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a Host with an empty label", "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a Host that is an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["an absolute target with a user", get("", "http://u@b/"), "ERR_REQUEST_MALFORMED"],
  ["an absolute target of another scheme", get("", "ftp://b/"), "ERR_REQUEST_MALFORMED"],
  ["a target without a slash", get("", "x"), "ERR_REQUEST_MALFORMED"],
  ["an asterisk for GET", get("", "*"), "ERR_REQUEST_MALFORMED"],
  ["a fragment", get("", "/a#b"), "ERR_REQUEST_MALFORMED"],
  ["a byte above ASCII in the target", get("", "/\xe9"), "ERR_REQUEST_MALFORMED"],
  ["a tab in the target", get("", "/a\tb"), "ERR_REQUEST_MALFORMED"],
  ["HTTP/0.9", "GET /\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["two blanks in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["a blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "ERR_VERSION_NOT_SUPPORTED"],
  ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "ERR_VERSION_NOT_SUPPORTED"],
  ["http in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", "ERR_REQUEST_MALFORMED"],
  ["an unknown method", "FOO / HTTP/1.1\r\nHost: a\r\n\r\n", "ERR_METHOD_NOT_IMPLEMENTED"],
  ["a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "ERR_METHOD_NOT_IMPLEMENTED"],
  ["TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "ERR_METHOD_NOT_ALLOWED"],
  ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "ERR_METHOD_NOT_ALLOWED"],
  ["TLS", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "ERR_REQUEST_MALFORMED"],
  ["an expectation we do not know", get("Expect: foo\r\n"), "ERR_EXPECTATION_FAILED"],
  ["101 header lines", get("X: 1\r\n".repeat(100)), "ERR_HEADERS_TOO_LARGE"],
  ["17 KiB of header lines", get(`X: ${"x".repeat(17 * 1024)}\r\n`), "ERR_HEADERS_TOO_LARGE"],
  ["17 KiB without an end", `GET / HTTP/1.1\r\nX: ${"x".repeat(17 * 1024)}`, "ERR_HEADERS_TOO_LARGE"],
  ["a 9 KiB target", get("", `/${"x".repeat(9 * 1024)}`), "ERR_TARGET_TOO_LONG"],
  ["a 9 KiB target without an end", `GET /${"x".repeat(9 * 1024)}`, "ERR_TARGET_TOO_LONG"],
  ["a method without an end", "G".repeat(64), "ERR_REQUEST_MALFORMED"],
];

const long = `POST /a/%2e%2e/b?x=1&y=%20 HTTP/1.1\r\nHost: Orders.Example.:80\r\nX-Empty:\r\nX-Pad: \t both \t \r\nCookie: a=1\r\ncookie: b=2\r\nX-Bytes: caf\xe9\r\nContent-Length: 0012\r\n\r\n`;

describe("HeadParser", () => {
  for (const [what, head, code] of refused) {
    it(`refuses ${what}`, () => {
      assert.equal(
        codeOf(() => parse(head)),
        code,
      );
      // The verdict does not depend on how the bytes arrive.
      assert.equal(
        codeOf(() =>
          parse(
            head,
            Array.from(head, () => 1),
          ),
        ),
        code,
      );
    });
  }

  it("reads a head split at every byte as it reads it whole", () => {
    const whole = parse(long);
    for (let at = 1; at < long.length; at++) {
      const split = parse(long, [at]);
      assert.equal(split.raw.text, whole.raw.text);
      assert.deepEqual(split.raw.fields, whole.raw.fields);
      assert.equal(split.target, whole.target);
    }
    assert.deepEqual(
      parse(
        long,
        Array.from(long, () => 1),
      ).raw,
      whole.raw,
    );
  });

  it("does not mix heads that arrive in turns on several connections", () => {
    const heads = [get("A: 1\r\nB: 2\r\n", "/one"), get("Cc: 33\r\n", "/two/longer"), long];
    const parsers = heads.map(() => new HeadParser("request", wireDefaults));
    const found: (string | null)[] = heads.map(() => null);
    for (let at = 0; at < long.length; at++) {
      for (const [n, head] of heads.entries()) {
        if (at < head.length && parsers[n]!.feed(bytesOf(head[at]!), 0) >= 0)
          found[n] = new RequestLines(parsers[n]!.head!).names().join();
      }
    }
    assert.deepEqual(found, ["host,a,b", "host,cc", "host,x-empty,x-pad,cookie,cookie,x-bytes,content-length"]);
  });

  it("forgives an empty line before a request, but not a row of them", () => {
    assert.equal(parse(`\r\n${get("")}`.slice(2), []).path, "/");
    const parser = new HeadParser("request", wireDefaults);
    assert.ok(parser.feed(bytesOf(`\r\n\r\n${get("")}`), 0) > 0);
    assert.equal(new RequestLines(parser.head!).path, "/");
    assert.equal(
      codeOf(() => new HeadParser("request", wireDefaults).feed(bytesOf("\r\n".repeat(20)), 0)),
      "ERR_REQUEST_MALFORMED",
    );
  });

  it("accepts exactly the limits", () => {
    const limits = { ...wireDefaults, maxHeaders: 3, maxTargetBytes: 4 };
    assert.equal(parse(get("A: 1\r\nB: 2\r\n", "/123"), [], limits).target, "/123");
    assert.equal(
      codeOf(() => parse(get("A: 1\r\nB: 2\r\nC: 3\r\n"), [], limits)),
      "ERR_HEADERS_TOO_LARGE",
    );
    assert.equal(
      codeOf(() => parse(get("", "/1234"), [], limits)),
      "ERR_TARGET_TOO_LONG",
    );
    const lines = "Host: a\r\nX: 12345\r\n";
    assert.equal(
      parse(`GET / HTTP/1.1\r\n${lines}\r\n`, [], { ...wireDefaults, maxHeaderBytes: lines.length }).get("x"),
      "12345",
    );
    assert.equal(
      codeOf(() => parse(`GET / HTTP/1.1\r\n${lines}\r\n`, [], { ...wireDefaults, maxHeaderBytes: lines.length - 1 })),
      "ERR_HEADERS_TOO_LARGE",
    );
  });
});

describe("RequestLines", () => {
  it("keeps target, path and query byte-exact", () => {
    const head = parse(long);
    assert.deepEqual(
      [head.method, head.target, head.path, head.query],
      ["POST", "/a/%2e%2e/b?x=1&y=%20", "/a/%2e%2e/b", "x=1&y=%20"],
    );
  });

  it("lowers the authority and drops its default port and trailing dot", () => {
    assert.equal(parse(long).authority, "orders.example");
    assert.equal(parse(get("", "http://B:8080/x")).authority, "b:8080");
    assert.equal(parse(get("", "https://B:443?q")).authority, "b");
    assert.equal(parse("GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n").authority, "[::1]:81");
  });

  it("takes the authority of an absolute target and not the Host beside it", () => {
    const head = parse(get("", "http://other:81/x?y"));
    assert.deepEqual([head.authority, head.target, head.isAbsolute], ["other:81", "/x?y", true]);
    assert.equal(parse(get("", "http://other?y")).target, "/?y");
    assert.equal(parse("OPTIONS http://other HTTP/1.1\r\nHost: a\r\n\r\n").target, "*");
  });

  it("joins lines in get, keeps them apart in getAll, and trims blanks", () => {
    const head = parse(long);
    assert.equal(head.get("cookie"), "a=1, b=2");
    assert.deepEqual(head.getAll("cookie"), ["a=1", "b=2"]);
    assert.equal(head.get("x-pad"), "both");
    assert.equal(head.get("x-empty"), "");
    assert.equal(head.get("x-none"), null);
    assert.equal(head.get("x-bytes"), "caf\xe9");
  });

  it("tells ^ from ~ in names, which differ in the bit that letters' case has", () => {
    assert.equal(parse(get("x^: 1\r\n")).get("x~"), null);
  });

  it("forwards lines as they came, without those of this hop", () => {
    const edits = new HeaderEdits();
    edits.set("X-Set", "new");
    const head = parse(
      get(
        "X-Set: old\r\nKeep-Alive: 5\r\nA:  1 \r\nConnection: x-foo, close\r\nX-Foo: 1\r\nTE: gzip\r\nb: 2\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\n",
      ),
    );
    assert.equal(head.forwarded(edits, true), "Host: a\r\nA:  1 \r\nb: 2\r\n");
    assert.equal(head.forwarded(new HeaderEdits(), false), "X-Set: old\r\nA:  1 \r\nb: 2\r\n");
  });

  it("does not let Connection name what frames or addresses the message", () => {
    const head = parse(get("Connection: host, content-length, a\r\nContent-Length: 3\r\nA: 1\r\n"));
    assert.equal(head.forwarded(new HeaderEdits(), true), "Host: a\r\nContent-Length: 3\r\n");
  });

  it("sees an upgrade only where one was asked for properly, and never h2c", () => {
    assert.equal(parse(get("Connection: Upgrade\r\nUpgrade: websocket\r\n")).upgrade, "websocket");
    assert.equal(parse(get("Upgrade: websocket\r\n")).upgrade, null);
    assert.equal(
      parse(get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n")).upgrade,
      null,
    );
    assert.equal(parse("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade, null);
  });

  it("reads any head of valid parts back as what it was made of", () => {
    const token = fc.string({ unit: fc.constantFrom(..."abcXYZ019-_.!~^"), minLength: 1, maxLength: 12 });
    const value = fc.string({ unit: fc.constantFrom(...'ab ,;="/\t\xe9\xff'), maxLength: 20 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(token, value), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 8 }),
        (fields, sizes) => {
          const lines = fields.map(([name, text]) => [`x-${name}`, text] as const);
          const text = `PUT /p HTTP/1.1\r\nhost: h\r\n${lines.map(([name, text]) => `${name}: ${text}\r\n`).join("")}\r\n`;
          const head = parse(text, sizes);
          assert.deepEqual(head.names(), ["host", ...lines.map(([name]) => name.toLowerCase())]);
          for (const [name] of lines) {
            const expected = lines
              .filter(([other]) => other.toLowerCase() === name.toLowerCase())
              .map(([, text]) => text.replace(/^[ \t]+|[ \t]+$/g, ""));
            assert.deepEqual(head.getAll(name.toLowerCase()), expected);
          }
          assert.equal(head.forwarded(new HeaderEdits(), true), text.slice(text.indexOf("\r\n") + 2, -2));
        },
      ),
    );
  });
});

describe("ResponseLines", () => {
  const respond = (text: string): ResponseLines => {
    const parser = new HeadParser("response", wireDefaults);
    assert.ok(parser.feed(bytesOf(text), 0) > 0);
    return new ResponseLines(parser.head!, false);
  };

  it("keeps the reason phrase byte-exact", () => {
    assert.equal(respond("HTTP/1.1 200 Orig\xefnal  reason\r\n\r\n").reason, "Orig\xefnal  reason");
    assert.equal(respond("HTTP/1.1 301\r\n\r\n").reason, "");
  });

  it("refuses framing that two readers could read differently", () => {
    for (const lines of [
      "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
      "Content-Length: 1\r\nContent-Length: 1\r\n",
      "Transfer-Encoding: gzip\r\n",
    ]) {
      assert.equal(
        codeOf(() => respond(`HTTP/1.1 200 OK\r\n${lines}\r\n`)),
        "ERR_UPSTREAM_PROTOCOL",
      );
    }
  });

  it("learns how long the server keeps an idle connection", () => {
    assert.equal(respond("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\n\r\n").keepAliveMs, 5_000);
    assert.equal(respond("HTTP/1.1 200 OK\r\n\r\n").keepAliveMs, null);
  });

  it("has no body where the status allows none", () => {
    assert.equal(respond("HTTP/1.1 304 x\r\nContent-Length: 10\r\n\r\n").bodyLength, 0);
    assert.equal(respond("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n").bodyLength, 0);
  });
});
