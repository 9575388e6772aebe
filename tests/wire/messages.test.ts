/** The lazy messages as the standard `Request` and `Response` that they claim to be, and what is written read back. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MeshError } from "../../src/errors.ts";
import { HeaderEdits } from "../../src/headers.ts";
import { ChunkedDecoder } from "../../src/wire/chunked-decoder.ts";
import { HeadParser } from "../../src/wire/head-parser.ts";
import { emptyBody, WholeBody } from "../../src/wire/incoming-body.ts";
import { wireDefaults } from "../../src/wire/message.ts";
import { RequestLines } from "../../src/wire/request-head.ts";
import { RequestMessage } from "../../src/wire/request.ts";
import { ResponseLines } from "../../src/wire/response-head.ts";
import { ResponseMessage } from "../../src/wire/response.ts";
import {
  fieldLine,
  forwardedRequestHead,
  noEdits,
  platformRequestHead,
  platformResponseHead,
  WITH_LENGTH,
} from "../../src/wire/serialize.ts";
import { bytesOf, textOf } from "./scripted-socket.ts";

function requestLines(text: string): RequestLines {
  const parser = new HeadParser("request", wireDefaults);
  assert.equal(parser.feed(bytesOf(text), 0), text.length);
  return new RequestLines(parser.head!);
}

function requestOf(lines: string, body: string | null): RequestMessage {
  const length = body === null ? "" : `Content-Length: ${body.length}\r\n`;
  const source = body === null ? emptyBody : new WholeBody(bytesOf(body), null);
  return new RequestMessage(
    requestLines(`POST /p?q=1 HTTP/1.1\r\nHost: Orders:81\r\n${lines}${length}\r\n`),
    source,
    "http",
    null,
  );
}

function responseOf(body: string): ResponseMessage {
  const parser = new HeadParser("response", wireDefaults);
  parser.feed(
    bytesOf("HTTP/1.1 404 Nope\r\nContent-Type: application/json\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"),
    0,
  );
  return new ResponseMessage(
    new ResponseLines(parser.head!, false),
    new WholeBody(bytesOf(body), null),
    null,
    "http://x/",
  );
}

describe("RequestMessage", () => {
  it("is a Request to whoever asks", async () => {
    const request = requestOf("Content-Type: application/json\r\nX-A: 1\r\nx-a: 2\r\n", '{"a":1}');
    assert.ok(request instanceof Request);
    assert.deepEqual(
      [request.method, request.url, request.bodyUsed, request.redirect],
      ["POST", "http://orders:81/p?q=1", false, "manual"],
    );
    assert.equal(request.headers.get("x-a"), "1, 2");
    assert.deepEqual(await request.json(), { a: 1 });
    assert.equal(request.bodyUsed, true);
    await assert.rejects(request.text(), TypeError);
  });

  it("reads a form, bytes, a blob and a stream", async () => {
    const form = await requestOf("Content-Type: application/x-www-form-urlencoded\r\n", "a=1&b=2").formData();
    assert.equal(form.get("b"), "2");
    assert.equal(textOf(await requestOf("", "xyz").bytes()), "xyz");
    assert.equal((await requestOf("", "xyz").blob()).size, 3);
    let text = "";
    for await (const chunk of requestOf("", "xyz").body!) text += textOf(chunk);
    assert.equal(text, "xyz");
    assert.equal(requestOf("", null).body, null);
    assert.equal(await requestOf("", null).text(), "");
  });

  it("clones into a platform Request, and both can be read", async () => {
    const request = requestOf("", "xyz");
    const copy = request.clone();
    assert.deepEqual(await Promise.all([copy.text(), request.text()]), ["xyz", "xyz"]);
    assert.equal(copy.url, request.url);
  });
});

describe("ResponseMessage", () => {
  it("is a Response to whoever asks", async () => {
    const response = responseOf('{"b":2}');
    assert.ok(response instanceof Response);
    assert.deepEqual(
      [response.status, response.statusText, response.ok, response.type, response.redirected],
      [404, "Nope", false, "default", false],
    );
    assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
    const copy = response.clone();
    assert.deepEqual(await response.json(), { b: 2 });
    assert.equal(await copy.text(), '{"b":2}');
  });
});

describe("heads that are written", () => {
  it("never hold a line end, a NUL or a name that is none", () => {
    for (const value of ["a\r\nX: 1", "a\nb", "a\rb", "a\0b", "\u0100"])
      assert.throws(() => fieldLine("x", value), MeshError);
    for (const name of ["", "a b", "a:", "a\r\n", "\xe9"]) assert.throws(() => fieldLine(name, "x"), MeshError);
  });

  it("are read back as they were meant, whatever edits say", () => {
    const anything = fc.string({ unit: fc.constantFrom(...'aB1-:; \t\r\n\0\xe9,"'), maxLength: 10 });
    const name = fc.oneof(
      anything,
      fc.constantFrom(
        "x-a",
        "X-B",
        "host",
        "connection",
        "transfer-encoding",
        "content-length",
        "te",
        "upgrade",
        "x-mesh-hops",
      ),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("add", "set", "remove"), name, anything), { maxLength: 6 }),
        (changes) => {
          const edits = new HeaderEdits();
          for (const [what, field, value] of changes) {
            if (what === "remove") edits.remove(field);
            else edits[what](field, value);
          }
          const received = requestOf("X-A: old\r\nConnection: x-b\r\n", "xyz");
          let text: string;
          try {
            text = forwardedRequestHead(received, { target: "/t", authority: null, edits, bodyLength: 3, hops: 1 });
          } catch (error) {
            assert.ok(error instanceof MeshError);
            return;
          }
          assert.equal(text.indexOf("\r\n\r\n"), text.length - 4, "one head");
          const parser = new HeadParser("request", wireDefaults);
          assert.equal(parser.feed(bytesOf(text), 0), text.length);
          let head: RequestLines;
          try {
            head = new RequestLines(parser.head!);
          } catch (error) {
            // An edit may name a host that is none; it must not do worse.
            assert.match(String(error), /Host/);
            return;
          }
          assert.deepEqual(
            [head.target, head.bodyLength, head.hops, head.get("connection"), head.get("transfer-encoding")],
            ["/t", 3, 1, null, null],
          );
        },
      ),
    );
  });

  it("frame a platform message by what is sent, not by what its headers claim", () => {
    const request = new Request("http://a/", { method: "POST", body: "xyz", headers: { "x-a": "1", te: "gzip" } });
    const text = platformRequestHead(request, "a:1", {
      target: "/",
      authority: null,
      edits: noEdits,
      bodyLength: null,
      hops: 0,
    });
    assert.match(text, /^POST \/ HTTP\/1\.1\r\nhost: a:1\r\n[^]*transfer-encoding: chunked\r\n\r\n$/);
    assert.doesNotMatch(text, /te: gzip|content-length/);
    const response = new Response("xyz", { headers: { "content-length": "99", connection: "x", "x-a": "1" } });
    const head = platformResponseHead(response, {
      edits: null,
      mode: WITH_LENGTH,
      bodyLength: 3,
      closes: false,
      date: "d",
    });
    assert.match(head, /content-length: 3\r\n/);
    assert.doesNotMatch(head, /99|connection/);
  });
});

describe("ChunkedDecoder", () => {
  it("gives back what was put in, however it is chunked and cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 20 }),
        (chunks, cuts) => {
          const body = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${textOf(chunk)}\r\n`).join("");
          const bytes = bytesOf(`${body}0\r\nT: v\r\n\r\nNEXT`);
          const decoder = new ChunkedDecoder(1_000);
          let text = "";
          let at = 0;
          for (const cut of [...cuts, bytes.length]) {
            const piece = bytes.subarray(at, at + cut);
            const next = decoder.feed(piece, 0, (from, to) => (text += textOf(piece.subarray(from, to))));
            at += next;
            if (decoder.isComplete) break;
          }
          assert.equal(text, chunks.map(textOf).join(""));
          assert.deepEqual(
            [decoder.isComplete, decoder.trailers, textOf(bytes.subarray(at))],
            [true, ["T", "v"], "NEXT"],
          );
        },
      ),
    );
  });
});
