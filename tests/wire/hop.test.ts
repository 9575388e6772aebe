/** One hop, bytes to bytes: what the upstream really gets, and what the client really sees. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import { networks, startHop, type Hop, type HopOptions, type RawEnd } from "./proxying.ts";

const get = (path = "/", lines = ""): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
const reply = (body: string, lines = ""): string =>
  `HTTP/1.1 200 OK\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`;

/** An upstream that answers every complete head with the same bytes. */
function answering(bytes: string): (end: RawEnd) => void {
  return (end) => {
    let answered = 0;
    end.onData = () => {
      const heads = end.received.split("\r\n\r\n").length - 1;
      for (; answered < heads; answered++) end.send(bytes);
    };
  };
}

async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await new Promise((resolve) => setTimeout(resolve, 1));
}

for (const network of networks) {
  const withHop = async (options: HopOptions, use: (hop: Hop) => Promise<void>): Promise<void> => {
    const hop = await startHop(await network.make(), options);
    try {
      await use(hop);
    } finally {
      await hop.close();
    }
  };

  describe(`a hop on ${network.name}: requests`, () => {
    it("forwards head and body as they came, and reuses both connections", () =>
      withHop({ serve: answering(reply("hi", "X-A:  1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n")) }, async (hop) => {
        const client = await hop.connect();
        client.send(
          `POST /a/%2e%2e?q=%20 HTTP/1.1\r\nHost: Orders:80\r\nX-CaSe:  v \r\nx-dup: 1\r\nX-Dup: 2\r\nContent-Length: 3\r\n\r\nabc`,
        );
        await client.untilText("\r\n\r\nhi");
        client.send(get("/2"));
        await client.until(() => client.received.split("\r\n\r\nhi").length === 3, "two replies");
        assert.equal(hop.upstreams.length, 1);
        assert.equal(
          hop.upstreams[0]!.received,
          "POST /a/%2e%2e?q=%20 HTTP/1.1\r\nHost: Orders:80\r\nX-CaSe:  v \r\nx-dup: 1\r\nX-Dup: 2\r\nContent-Length: 3\r\nx-mesh-hops: 1\r\n\r\nabc" +
            "GET /2 HTTP/1.1\r\nHost: a\r\nx-mesh-hops: 1\r\n\r\n",
        );
        assert.match(
          client.received,
          /^HTTP\/1\.1 200 OK\r\nX-A: {2}1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\ndate: [^\r]+\r\n\r\nhi/,
        );
      }));

    it("rewrites target, authority and headers as told", () =>
      withHop(
        {
          serve: answering(reply("")),
          before: (x) => {
            x.upstreamTarget = "/new?x";
            x.upstreamAuthority = "orders.internal";
            x.requestEdits.set("X-Old", "new");
            x.requestEdits.add("traceparent", "00-1");
            x.responseEdits.set("x-mesh-attempt", "1");
          },
        },
        async (hop) => {
          const client = await hop.connect();
          client.send(get("/old", "X-Old: old\r\nConnection: traceparent\r\n"));
          await client.untilText("x-mesh-attempt: 1");
          assert.equal(
            hop.upstreams[0]!.received,
            "GET /new?x HTTP/1.1\r\nhost: orders.internal\r\nX-Old: new\r\ntraceparent: 00-1\r\nx-mesh-hops: 1\r\n\r\n",
          );
        },
      ));

    it("writes the authority of an absolute target into Host", () =>
      withHop({ serve: answering(reply("")) }, async (hop) => {
        const client = await hop.connect();
        client.send("GET http://orders:8080/x HTTP/1.1\r\nHost: evil\r\nProxy-Connection: keep-alive\r\n\r\n");
        await client.untilText("200");
        assert.equal(hop.upstreams[0]!.received, "GET /x HTTP/1.1\r\nhost: orders:8080\r\nx-mesh-hops: 1\r\n\r\n");
      }));

    it("forwards a chunked body with its trailers, and te: trailers but nothing else of TE", () =>
      withHop({}, async (hop) => {
        const client = await hop.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\nTransfer-Encoding: chunked\r\n\r\n");
        const upstream = await hop.upstream(0);
        await upstream.untilText("\r\n\r\n");
        client.send("3\r\nabc\r\n");
        await upstream.untilText("abc");
        client.send("0\r\nX-Sum: 1\r\nAuthorization: x\r\n\r\n");
        await upstream.untilText("0\r\nX-Sum: 1\r\n\r\n");
        assert.match(upstream.received, /transfer-encoding: chunked\r\nte: trailers\r\n/);
        assert.doesNotMatch(upstream.received, /Authorization/);
      }));

    it("keeps the body of a GET and the length of a DELETE (L24)", () =>
      withHop({ serve: answering(reply("")) }, async (hop) => {
        const client = await hop.connect();
        client.send(
          "DELETE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nzz",
        );
        await client.until(() => client.received.split("200 OK").length === 3, "two replies");
        assert.match(
          hop.upstreams[0]!.received,
          /content-length: 2\r\nx-mesh-hops: 1\r\n\r\nxyGET [^]*Content-Length: 2\r\n[^]*\r\n\r\nzz$/,
        );
      }));

    it("invites an expected body and does not forward the expectation", () =>
      withHop({ serve: answering(reply("done")) }, async (hop) => {
        const client = await hop.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        await client.untilText("100 Continue\r\n\r\n");
        client.send("abc");
        await client.untilText("done");
        assert.doesNotMatch(hop.upstreams[0]!.received, /expect/i);
      }));

    it("stops a request that runs in a circle", () =>
      withHop({ serve: answering(reply("")) }, async (hop) => {
        const client = await hop.connect();
        client.send(
          get("/", "x-mesh-hops: 15\r\n") + get("/", "x-mesh-hops: 16\r\n") + get("/", "x-mesh-hops: many\r\n"),
        );
        await client.until(() => client.received.split("HTTP/1.1 ").length === 4, "three replies");
        assert.deepEqual(client.received.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200", "HTTP/1.1 508", "HTTP/1.1 508"]);
      }));

    const attacks: readonly (readonly [string, string])[] = [
      [
        "A-01 CL and TE",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
      ],
      [
        "A-02 two lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
      ],
      ["A-03 xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"],
      ["A-03 chunked, identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"],
      ["A-04 chunk size 0x1", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"],
      ["A-07 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
      ["A-07 no Host", "GET / HTTP/1.1\r\n\r\n"],
      ["A-08 a path in Host", "GET /api/x HTTP/1.1\r\nHost: a/admin?\r\n\r\n"],
      ["L6 a folded length", "POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Content-Length: 5\r\n\r\nhello"],
    ];
    for (const [what, bytes] of attacks) {
      it(`${what}: refused, closed, and no byte upstream`, () =>
        withHop({ serve: answering(reply("leaked")) }, async (hop) => {
          const client = await hop.connect();
          client.send(bytes);
          await client.untilOver();
          assert.match(client.received, /^HTTP\/1\.1 (400|501) /);
          assert.equal(client.received.split("HTTP/1.1 ").length, 2, "one reply");
          assert.equal(hop.upstreams.length, 0);
          // Behind a good request on the same connection the verdict is the same.
          const second = await hop.connect();
          second.send(get() + bytes);
          await second.untilOver();
          assert.equal(hop.upstreams[0]!.received.split("HTTP/1.1").length, 2, "only the good request went on");
        }));
    }

    it("A-05: the body of a GET is never a second request", () =>
      withHop({ serve: answering(reply("ok")) }, async (hop) => {
        const client = await hop.connect();
        const inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(`GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`);
        await client.untilText("ok");
        assert.equal(hop.exchanges.length, 1);
      }));
  });

  describe(`a hop on ${network.name}: responses`, () => {
    const cases: readonly (readonly [what: string, upstream: string, expected: RegExp])[] = [
      [
        "chunked, with trailers",
        "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n",
        /^HTTP\/1\.1 200 OK\r\nDate: d\r\ncontent-length: 2\r\n\r\nhi/,
      ],
      [
        "204 with a length",
        "HTTP/1.1 204 No Content\r\nDate: d\r\nContent-Length: 2\r\n\r\n",
        /^HTTP\/1\.1 204 No Content\r\nDate: d\r\n\r\n$/,
      ],
      [
        "304 with a length",
        "HTTP/1.1 304 Not Modified\r\nDate: d\r\nContent-Length: 20\r\n\r\n",
        /^HTTP\/1\.1 304 Not Modified\r\nDate: d\r\nContent-Length: 20\r\n\r\n$/,
      ],
      [
        "a redirect, not followed",
        "HTTP/1.1 302 Found\r\nDate: d\r\nLocation: http://127.0.0.1:15000/\r\nContent-Length: 0\r\n\r\n",
        /^HTTP\/1\.1 302 Found\r\nDate: d\r\nLocation: http:\/\/127\.0\.0\.1:15000\/\r\nContent-Length: 0\r\n\r\n$/,
      ],
      [
        "103 and then 200",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\n\r\n",
        /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/x>\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
      ],
      [
        "an unasked 100 and then 200",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\n\r\n",
        /^HTTP\/1\.1 200 OK\r\n/,
      ],
      [
        "hop-by-hop fields removed",
        "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: x-a\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
        /^HTTP\/1\.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\n\r\n$/,
      ],
      [
        "bytes above ASCII and an odd reason",
        "HTTP/1.1 299 Caf\xe9 !\r\nDate: d\r\nX-B: \xff\x80\r\nContent-Length: 0\r\n\r\n",
        /^HTTP\/1\.1 299 Caf\xe9 !\r\nDate: d\r\nX-B: \xff\x80\r\n/,
      ],
    ];
    for (const [what, upstream, expected] of cases) {
      it(`forwards ${what}`, () =>
        withHop({ serve: answering(upstream) }, async (hop) => {
          const client = await hop.connect();
          client.send(get());
          await client.untilText(what.startsWith("chunked") ? "hi" : "\r\n\r\n");
          if (what.startsWith("103")) await client.untilText("200");
          assert.match(client.received, expected);
        }));
    }

    it("forwards the head of a HEAD reply with the length it names", () =>
      withHop({ serve: answering("HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 500\r\n\r\n") }, async (hop) => {
        const client = await hop.connect();
        client.send(get().replace("GET", "HEAD") + get("/2").replace("GET", "HEAD"));
        await client.until(() => client.received.split("500\r\n\r\n").length === 3, "two heads");
        assert.equal(hop.upstreams.length, 1, "and the connection is reused");
      }));

    it("forwards a body that ends with its connection, and ends its own by chunks", () =>
      withHop(
        {
          serve: (end) =>
            (end.onData = () => (
              end.send("HTTP/1.1 200 OK\r\n\r\nabc"),
              setTimeout(() => (end.send("def"), end.socket.end()), 10)
            )),
        },
        async (hop) => {
          const client = await hop.connect();
          client.send(get());
          await client.untilText("0\r\n\r\n");
          assert.match(client.received, /transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n$/);
        },
      ));

    for (const [what, bytes] of [
      ["Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcde"],
      ["chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"],
    ] as const) {
      it(`A-17: shows a truncated ${what} reply as truncated`, () =>
        withHop(
          { serve: (end) => (end.onData = () => (end.send(bytes), setTimeout(() => end.socket.end(), 10))) },
          async (hop) => {
            const client = await hop.connect();
            client.send(get());
            await client.untilOver();
            assert.doesNotMatch(client.received, /\r\n0\r\n\r\n$/);
            assert.ok(!client.received.endsWith("abcdeabcde"));
            assert.equal(hop.pool.size(), 0);
          },
        ));
    }

    for (const [what, bytes] of [
      ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
      ["CL and TE", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
      ["a folded line", "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"],
      ["an unasked 101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
      ["no HTTP", "SSH-2.0-OpenSSH\r\n"],
    ] as const) {
      it(`answers 502 to ${what}`, () =>
        withHop({ serve: answering(bytes) }, async (hop) => {
          const client = await hop.connect();
          client.send(get());
          await client.untilText("HTTP/1.1 502 ");
          assert.equal(hop.pool.size(), 0);
        }));
    }

    it("does not reuse a connection that said more than its response", () =>
      withHop({ serve: answering(`${reply("ok")}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`) }, async (hop) => {
        const client = await hop.connect();
        client.send(get() + get());
        await client.until(() => client.received.split("ok").length === 3, "two replies");
        assert.doesNotMatch(client.received, /poison/);
        assert.equal(hop.upstreams.length, 2);
      }));
  });

  describe(`a hop on ${network.name}: failures`, () => {
    it("A-19: aborts the upstream when the client goes", () =>
      withHop({}, async (hop) => {
        const client = await hop.connect();
        client.send(get());
        const upstream = await hop.upstream(0);
        await upstream.untilText("\r\n\r\n");
        client.socket.destroy();
        await upstream.untilOver();
        assert.equal(hop.exchanges[0]!.aborted?.code, "ERR_DOWNSTREAM_CLOSED");
        assert.equal(hop.exchanges[0]!.over, true);
        assert.equal(hop.exchanges[0]!.interrupt, null);
      }));

    it("aborts the upstream when the client goes in the middle of a reply or of an upload", () =>
      withHop({}, async (hop) => {
        const reader = await hop.connect();
        reader.send(get());
        const first = await hop.upstream(0);
        await first.untilText("\r\n\r\n");
        first.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        await reader.untilText("abc");
        reader.socket.destroy();
        await first.untilOver();
        const writer = await hop.connect();
        writer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
        const second = await hop.upstream(1);
        await second.untilText("abc");
        writer.socket.destroy();
        await second.untilOver();
        assert.equal(second.received.endsWith("abc"), true);
      }));

    it("kills the attempt at once when its exchange is aborted from above", () =>
      withHop({}, async (hop) => {
        const client = await hop.connect();
        client.send(get());
        const upstream = await hop.upstream(0);
        await upstream.untilText("\r\n\r\n");
        hop.exchanges[0]!.abort(new MeshError("ERR_DEADLINE_EXCEEDED", "too late"));
        await client.untilText("HTTP/1.1 504 ");
        await upstream.untilOver();
      }));

    it("sends a request once more, to a fresh connection, if a reused one died before any answer", () => {
      let served = 0;
      return withHop(
        {
          serve: (end) =>
            (end.onData = () => (++served === 2 ? end.socket.destroy() : end.send(reply(`reply${served}`)))),
        },
        async (hop) => {
          const client = await hop.connect();
          client.send(get("/1"));
          await client.untilText("reply1");
          client.send(get("/2"));
          await client.untilText("reply3");
          assert.equal(hop.upstreams.length, 2);
          assert.match(hop.upstreams[1]!.received, /^GET \/2 /);
        },
      );
    });

    it("does not repeat a POST, nor a request on a fresh connection", () => {
      let served = 0;
      return withHop(
        { serve: (end) => (end.onData = () => (++served === 1 ? end.send(reply("reply1")) : end.socket.destroy())) },
        async (hop) => {
          const client = await hop.connect();
          client.send(get("/1"));
          await client.untilText("reply1");
          client.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
          await client.untilText("HTTP/1.1 503 ");
          assert.equal(served, 2);
          client.send(get("/3"));
          await client.until(() => client.received.split("HTTP/1.1 503 ").length === 3, "another 503");
          assert.equal(served, 3);
        },
      );
    });

    it("says how much had been sent", () =>
      withHop({ serve: (end) => (end.onData = () => end.socket.destroy()) }, async (hop) => {
        const client = await hop.connect();
        client.send(get());
        await client.untilText('"code":"ERR_UPSTREAM_RESET"');
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        await client.until(() => hop.errors.length === 2, "another failure");
        assert.deepEqual(
          hop.errors.map(({ code, sent }) => [code, sent]),
          [
            ["ERR_UPSTREAM_RESET", "head"],
            ["ERR_UPSTREAM_RESET", "body"],
          ],
        );
      }));

    it("answers 503 where nobody listens", () =>
      withHop({}, async (hop) => {
        const client = await hop.connect();
        hop.pool.close();
        client.send(get());
        await client.untilText("HTTP/1.1 503 ");
      }));

    it("refuses what does not fit behind a full pool, and serves who waits", () =>
      withHop({ pool: { maxConnections: 1, maxPending: 1 } }, async (hop) => {
        const clients = [await hop.connect(), await hop.connect(), await hop.connect()];
        clients[0]!.send(get("/0"));
        const upstream = await hop.upstream(0);
        await upstream.untilText("/0");
        clients[1]!.send(get("/1"));
        while (hop.exchanges.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
        clients[2]!.send(get("/2"));
        await clients[2]!.untilText("HTTP/1.1 503 ");
        upstream.send(reply("first"));
        await clients[0]!.untilText("first");
        await upstream.untilText("/1");
        upstream.send(reply("second"));
        await clients[1]!.untilText("second");
        assert.equal(hop.upstreams.length, 1);
      }));

    it("never takes what follows a response for the response of who waits for its connection", () =>
      withHop({ pool: { maxConnections: 1 } }, async (hop) => {
        const [first, second] = [await hop.connect(), await hop.connect()];
        first.send(get("/1"));
        const upstream = await hop.upstream(0);
        await upstream.untilText("/1");
        second.send(get("/2"));
        await until(() => hop.exchanges.length === 2);
        upstream.send(reply("first") + reply("poison"));
        await first.untilText("first");
        const fresh = await hop.upstream(1);
        await fresh.untilText("/2");
        fresh.send(reply("second"));
        await second.untilText("second");
        assert.doesNotMatch(second.received, /poison/);
      }));

    it("closes idle upstream connections before the server says it would", () =>
      withHop({ serve: answering(reply("ok", "Keep-Alive: timeout=1\r\n")) }, async (hop) => {
        const client = await hop.connect();
        client.send(get());
        await client.untilText("ok");
        await hop.upstreams[0]!.untilOver();
        assert.equal(hop.pool.size(), 0);
      }));

    it("retires connections: idle ones at once, busy ones behind their response", () =>
      withHop({}, async (hop) => {
        const client = await hop.connect();
        client.send(get());
        const upstream = await hop.upstream(0);
        await upstream.untilText("\r\n\r\n");
        hop.pool.retire(() => true);
        upstream.send(reply("ok"));
        await client.untilText("ok");
        await upstream.untilOver();
        client.send(get("/2"));
        (await hop.upstream(1)).send(reply("fresh"));
        await client.untilText("fresh");
      }));
  });

  describe(`a hop on ${network.name}: tunnels`, () => {
    const ask = get("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n");
    const agree =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

    it("carries bytes both ways after a 101, and each end as an end", () =>
      withHop({}, async (hop) => {
        const client = await hop.connect();
        client.send(ask);
        const upstream = await hop.upstream(0);
        await upstream.untilText("\r\n\r\n");
        assert.match(upstream.received, /connection: Upgrade\r\nupgrade: websocket\r\n/);
        upstream.send(`${agree}early`);
        await client.untilText("early");
        assert.match(
          client.received,
          /^HTTP\/1\.1 101 Switching Protocols\r\nSec-WebSocket-Accept: y\r\n[^]*connection: Upgrade\r\nupgrade: websocket\r\n\r\nearly$/,
        );
        client.send("\x81\x00up");
        await upstream.untilText("\x81\x00up");
        upstream.send("down");
        await client.untilText("down");
        client.socket.end();
        await upstream.until((end) => end.hasEnded, "the client's end");
        upstream.send("last");
        await client.untilText("last");
        upstream.socket.end();
        await client.untilOver();
        while (!hop.exchanges[0]!.over) await new Promise((resolve) => setTimeout(resolve, 1));
        assert.equal(hop.exchanges[0]!.status, 101);
      }));

    it("cuts one side when the other breaks", () =>
      withHop({}, async (hop) => {
        for (const breaks of ["client", "upstream"] as const) {
          const n = hop.upstreams.length;
          const client = await hop.connect();
          client.send(ask);
          const upstream = await hop.upstream(n);
          await upstream.untilText("\r\n\r\n");
          upstream.send(agree);
          await client.untilText("101");
          (breaks === "client" ? client : upstream).socket.destroy();
          await (breaks === "client" ? upstream : client).untilOver();
        }
      }));

    it("L17: holds what the client sends ahead until the 101, and reads it as HTTP if none comes", () =>
      withHop({}, async (hop) => {
        const client = await hop.connect();
        client.send(`${ask}${get("/next")}`);
        const upstream = await hop.upstream(0);
        await upstream.untilText("\r\n\r\n");
        assert.doesNotMatch(upstream.received, /next/);
        upstream.send(reply("no"));
        await upstream.untilText("GET /next ");
        assert.equal(hop.exchanges.length, 2, "the second is a request of its own");
        upstream.send(reply("second"));
        await client.untilText("second");
      }));

    it("L19: never switches to h2c", () =>
      withHop({ serve: answering(reply("plain")) }, async (hop) => {
        const client = await hop.connect();
        client.send(
          get("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        );
        await client.untilText("plain");
        assert.doesNotMatch(hop.upstreams[0]!.received, /h2c|HTTP2-Settings|upgrade/i);
      }));
  });
}
