import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { after, before, beforeEach, describe, it } from "node:test";
import { call } from "../support/mesh.ts";
import { eventually } from "../support/ports.ts";
import { ok, quiet, valuesOf, type Message } from "../support/raw.ts";
import { doors, startRig, type Rig } from "./_rig.ts";

describe("a message that goes through", () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig.close());
  beforeEach(() => {
    rig.upstream.script = () => ok;
    rig.upstream.forget();
  });
  const only = (): Message => {
    assert.deepEqual(rig.upstream.faults, []);
    assert.equal(rig.upstream.requests.length, 1);
    return rig.upstream.requests[0]!;
  };

  for (const door of doors) {
    describe(`at the ${door} port`, () => {
      it("keeps three chunks and their trailers apart from the headers (A-06)", async () => {
        const bytes =
          "POST /api/x HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n1\r\nf\r\n0\r\nX-Sum: 7\r\nHost: evil\r\nX-Spiffe-Id: admin\r\n\r\n";
        for (const parts of [[bytes], bytes]) {
          rig.upstream.forget();
          const client = await rig.open(door);
          await client.writeParts(parts);
          assert.equal((await client.reply()).status, 200);
          const request = only();
          assert.equal(request.body, "abcdef");
          assert.deepEqual(
            [valuesOf(request, "x-sum"), valuesOf(request, "host"), valuesOf(request, "x-spiffe-id")],
            [[], ["orders"], []],
          );
          for (const [name] of request.trailers) assert.ok(!["host", "x-spiffe-id"].includes(name), `trailer ${name}`);
          client.destroy();
        }
      });

      it("a body of GET is a body, not the next request (A-05)", async () => {
        const hidden = "GET /hidden HTTP/1.1\r\nHost: orders\r\n\r\n";
        const client = await rig.open(door);
        client.write(
          `GET /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}GET /next HTTP/1.1\r\nHost: orders\r\n\r\n`,
        );
        assert.equal((await client.reply()).status, 200);
        assert.equal((await client.reply()).status, 200);
        await quiet();
        assert.deepEqual(
          rig.upstream.requests.map(({ startLine, body }) => [startLine.split(" ")[1], body]),
          [
            ["/api/x", hidden],
            ["/next", ""],
          ],
        );
        client.destroy();
      });

      it("loses what belongs to one connection and what Connection names, and nothing of ours (A-10, L2)", async () => {
        const client = await rig.open(door);
        client.write(
          "GET /api/x HTTP/1.1\r\nHost: orders\r\nConnection: x-foo, keep-alive, host, x-request-id, traceparent, x-forwarded-client-cert, content-length\r\nX-Foo: 1\r\nX-Bar: 2\r\n" +
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: trailers, gzip;q=0.5\r\nTrailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n",
        );
        assert.equal((await client.reply()).status, 200);
        const request = only();
        for (const name of [
          "x-foo",
          "connection",
          "keep-alive",
          "proxy-connection",
          "proxy-authorization",
          "upgrade",
          "http2-settings",
        ]) {
          assert.deepEqual(
            valuesOf(request, name).filter((value) => value !== "keep-alive" || name !== "connection"),
            [],
            name,
          );
        }
        assert.deepEqual(valuesOf(request, "x-bar"), ["2"]);
        assert.deepEqual(valuesOf(request, "host"), ["orders"]);
        for (const value of valuesOf(request, "te")) assert.equal(value, "trailers");
        assert.equal(valuesOf(request, "x-request-id").length, 1);
        assert.equal(valuesOf(request, "traceparent").length, 1);
        assert.match(
          valuesOf(request, "x-forwarded-client-cert")[0]!,
          /URI=spiffe:\/\/mesh\.local\/ns\/default\/sa\/web$/,
        );
        client.destroy();
      });

      it("an absolute target replaces Host, all of it (A-09)", async () => {
        const client = await rig.open(door);
        client.write("GET http://nowhere/api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
        const { status } = await client.reply();
        await quiet();
        // Outbound there is no such service. Inbound there is only one application, and it must see one host, the target's.
        if (door === "outbound") assert.deepEqual([status, rig.upstream.bytes], [404, 0]);
        else
          assert.ok(
            status === 200 ? valuesOf(only(), "host").join() === "nowhere" : rig.upstream.bytes === 0,
            String(status),
          );
        client.destroy();
      });

      it("who waits for 100 gets it and the reply, and the upstream never waits (A-14)", async () => {
        const client = await rig.open(door);
        client.write("POST /api/x HTTP/1.1\r\nHost: orders\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        await eventually("100 Continue", () => client.text.startsWith("HTTP/1.1 100 Continue\r\n\r\n"), 3_000);
        client.write("body");
        assert.equal((await client.reply()).status, 200);
        assert.equal(only().body, "body");
        client.destroy();
      });

      it("a redirect is the caller's to follow (A-15, L27)", async () => {
        const location = `http://${rig.web.ready.admin}/drain`;
        rig.upstream.script = () => `HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
        const client = await rig.open(door);
        client.write("POST /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 0\r\n\r\n");
        const reply = await client.reply();
        assert.deepEqual([reply.status, valuesOf(reply, "location")], [302, [location]]);
        assert.equal((await call(rig.web.ready.admin, "/ready")).status, 200);
        assert.equal(rig.upstream.requests.length, 1);
        client.destroy();
      });

      it("a compressed body passes as the bytes it is (A-16)", async () => {
        const zipped = gzipSync("x".repeat(1_000)).toString("latin1");
        rig.upstream.script = () =>
          `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n\r\n${zipped}`;
        const client = await rig.open(door);
        client.write("GET /api/x HTTP/1.1\r\nHost: orders\r\nAccept-Encoding: gzip\r\n\r\n");
        const reply = await client.reply();
        assert.deepEqual(
          [valuesOf(reply, "content-encoding"), valuesOf(reply, "content-length")],
          [["gzip"], [String(zipped.length)]],
        );
        assert.equal(gunzipSync(Buffer.from(reply.body, "latin1")).toString(), "x".repeat(1_000));
        client.destroy();
      });

      for (const [name, head] of [
        ["a length", "Content-Length: 10\r\n\r\nhello"],
        ["chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
      ] as const) {
        it(`a truncated body with ${name} is seen as truncated (A-17)`, async () => {
          rig.upstream.script = (_, socket) => (socket.end(`HTTP/1.1 200 OK\r\n${head}`), null);
          const client = await rig.open(door);
          client.write("POST /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 0\r\n\r\n");
          await client.closed();
          if (client.text.startsWith("HTTP/1.1 200")) {
            assert.ok(!client.text.includes("\r\n0\r\n"), "no last chunk");
            await assert.rejects(client.reply({ timeoutMs: 100 }), "it is not complete");
          } else assert.match(client.text, /^HTTP\/1\.1 50[23] /);
          // The connection that broke off serves nobody else.
          rig.upstream.script = () => ok;
          const next = await rig.open(door);
          next.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
          assert.equal((await next.reply()).body, "ok");
          next.destroy();
        });
      }

      it("two cookies stay two, and 204, 304 and HEAD have no body (A-18)", async () => {
        const replies: Record<string, string> = {
          "/cookies":
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Expires=Wed, 21 Oct 2037 07:28:00 GMT\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
          "/204": "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
          "/304": 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 77\r\n\r\n',
          "/head": "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
        };
        rig.upstream.script = ({ startLine }) => replies[startLine.split(" ")[1]!] ?? ok;
        const client = await rig.open(door);
        const ask = async (method: string, path: string) => {
          client.write(`${method} ${path} HTTP/1.1\r\nHost: orders\r\n\r\n`);
          return client.reply({ hasBody: method !== "HEAD" });
        };
        assert.deepEqual(valuesOf(await ask("GET", "/cookies"), "set-cookie"), [
          "a=1; Expires=Wed, 21 Oct 2037 07:28:00 GMT",
          "b=2",
        ]);
        const empty = await ask("GET", "/204");
        assert.deepEqual(
          [empty.status, valuesOf(empty, "content-length"), valuesOf(empty, "transfer-encoding")],
          [204, [], []],
        );
        const unchanged = await ask("GET", "/304");
        assert.deepEqual([unchanged.status, valuesOf(unchanged, "etag")], [304, ['"x"']]);
        const head = await ask("HEAD", "/head");
        assert.deepEqual([head.status, valuesOf(head, "content-length")], [200, ["77"]]);
        // Anything left over from one of them would be taken for the head of this one.
        assert.equal((await ask("GET", "/after")).body, "ok");
        client.destroy();
      });

      it("a caller that goes takes its request with it within 200 ms (A-19, L32)", async () => {
        rig.upstream.script = () => null;
        let fastestMs = Infinity;
        // On a machine that is busy with something else one try says little; the best of a few says what the code waits for.
        for (let tries = 1; tries <= 5 && fastestMs > 200; tries++) {
          rig.upstream.forget();
          const client = await rig.open(door);
          client.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
          const waiting = await eventually(
            "the request is upstream",
            () => rig.upstream.connections.find(({ text }) => text.includes("/api/x")),
            3_000,
            2,
          );
          const leftAtMs = performance.now();
          client.destroy();
          await eventually("it is cut upstream", () => waiting.isClosed, 3_000, 2);
          fastestMs = Math.min(fastestMs, performance.now() - leftAtMs);
          await quiet();
          assert.equal(rig.upstream.requests.length, 1, "and is not repeated");
        }
        assert.ok(fastestMs <= 200, `${fastestMs} ms`);
        for (const sidecar of [rig.web, rig.orders])
          await eventually(
            "nothing is in flight",
            async () => (await rig.count(sidecar, "fetchmesh_requests_in_flight")) === 0,
          );
      });
    });
  }

  it("two lengths or CL and TE from upstream are 502, and that connection serves nobody else", async () => {
    for (const framing of [
      "Content-Length: 2\r\nContent-Length: 3",
      "Content-Length: 2\r\nTransfer-Encoding: chunked",
      "Content-Length: +2",
      "Transfer-Encoding: chunked, identity",
    ]) {
      rig.upstream.script = () => `HTTP/1.1 200 OK\r\n${framing}\r\n\r\nok`;
      const client = await rig.open("inbound");
      client.write("POST /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 0\r\n\r\n");
      const reply = await client.reply();
      assert.equal(reply.status, 502, framing);
      assert.deepEqual(valuesOf(reply, "x-mesh-flag"), ["UPE"]);
      client.destroy();
    }
    rig.upstream.script = () => ok;
  });

  it("what upstream sends unasked behind a reply is nobody's reply", async () => {
    rig.upstream.script = () => `${ok}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`;
    const client = await rig.open("inbound");
    for (let i = 0; i < 5; i++) {
      client.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
      assert.equal((await client.reply()).body, "ok");
      await quiet(20);
    }
    client.destroy();
  });
});
