import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MeshError } from "../../src/errors.ts";
import type { BodySink } from "../../src/wire/message.ts";
import { bytesOf, textOf } from "./scripted-socket.ts";
import { serve, settle, type Served } from "./serving.ts";

const get = (path: string, lines = ""): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
const post = (lines: string, body = ""): string => `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n${body}`;
const ok = (body: string | null = "ok", init: ResponseInit = {}): Response =>
  new Response(body, { headers: { "content-length": String(body?.length ?? 0), date: "x" }, ...init });

/** Takes a request's body as it comes. */
class Taker implements BodySink {
  text = "";
  trailers: readonly string[] | null = null;
  hasEnded = false;
  error_: MeshError | null = null;
  accepts = true;

  data(chunk: Uint8Array): boolean {
    this.text += textOf(chunk);
    return this.accepts;
  }

  end(trailers: readonly string[] | null): void {
    this.hasEnded = true;
    this.trailers = trailers;
  }

  error(reason: MeshError): void {
    this.error_ = reason;
  }
}

function take(served: Served): Taker {
  const taker = new Taker();
  served.request.source.pipe(taker);
  return taker;
}

describe("serveConnection() framing", () => {
  it("hands over a body that came with its head as a whole", () => {
    const { socket, served } = serve();
    socket.receive(post("Content-Length: 5\r\n", "hello"));
    assert.equal(textOf(served[0]!.request.source.whole!), "hello");
    assert.equal(served[0]!.reception.bytesReceived, 5);
  });

  it("hands over a chunked body that came whole as one piece, trailers apart", () => {
    const { socket, served } = serve();
    socket.receive(
      post(
        "Transfer-Encoding: chunked\r\n",
        '3\r\nabc\r\n2;x="y\\""\r\nde\r\n0\r\nX-Sum: 7\r\nHost: evil\r\nx-mesh-hops: 1\r\nX_Forwarded_Client_Cert: By=me\r\nClient-Cert: me\r\nX-FetchMesh-A: 1\r\n\r\n',
      ),
    );
    const taker = take(served[0]!);
    assert.deepEqual([taker.text, taker.hasEnded, taker.trailers], ["abcde", true, ["X-Sum", "7"]]);
    assert.equal(served[0]!.request.head.get("x-sum"), null);
  });

  it("reads the same chunked body however it is cut", () => {
    const text = post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n");
    for (let at = 1; at < text.length; at++) {
      const { socket, served } = serve();
      socket.receive(text.slice(0, at));
      const early = served.length === 1 ? take(served[0]!) : null;
      socket.receive(text.slice(at));
      const taker = early ?? take(served[0]!);
      assert.deepEqual(
        [taker.text, taker.hasEnded, taker.trailers],
        ["abc0123456789", true, ["T", "1"]],
        `cut at ${at}`,
      );
    }
  });

  const broken = [
    "0x1\r\na",
    "+1\r\na",
    "-1\r\na",
    "1_0\r\na",
    "\r\na",
    " 1\r\na",
    "1 \r\na",
    "10000000000000001\r\na",
    "100000000000000000\r\n",
    "1\na",
    "1\r\naXX",
    "1\r\na\n",
    "0\r\nXX\r\n",
    "1;\r\na",
    `1;${"x".repeat(300)}\r\na`,
    "0\r\nX : 1\r\n\r\n",
    "0\r\n: 1\r\n\r\n",
    "0\r\nX: 1\n\r\n",
  ];
  for (const body of broken) {
    it(`refuses the chunk ${JSON.stringify(body.slice(0, 20))}`, async () => {
      const { socket, served, refused } = serve();
      // The head alone, then the body: else it would be refused before it became a request.
      socket.receive(post("Transfer-Encoding: chunked\r\n"));
      const taker = take(served[0]!);
      for (const char of body) socket.receive(char);
      assert.equal(taker.error_?.code, "ERR_REQUEST_MALFORMED");
      assert.equal(served[0]!.reception.aborted?.code, "ERR_REQUEST_MALFORMED");
      served[0]!.respond(ok("no", { status: 400 }));
      await settle();
      assert.match(socket.written, /^HTTP\/1\.1 400 [^]*connection: close/);
      assert.equal(socket.hasEnded, true);
      const whole = serve();
      whole.socket.receive(post("Transfer-Encoding: chunked\r\n", body));
      assert.equal(whole.refused.length + whole.served.filter(({ reception }) => reception.aborted !== null).length, 1);
      assert.equal(refused.length, 0);
    });
  }

  it("refuses malformed heads with a reply and closes behind it", async () => {
    const { socket, served, refused } = serve();
    socket.receive(
      `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${get("/smuggled")}`,
    );
    await settle();
    assert.deepEqual([served.length, refused[0]?.code, socket.hasEnded], [0, "ERR_REQUEST_MALFORMED", true]);
    assert.match(socket.written, /^HTTP\/1\.1 400 [^]*connection: close\r\n/);
  });

  it("refuses a body beyond maxBodyBytes, announced or not", async () => {
    const announced = serve({ maxBodyBytes: 4 });
    announced.socket.receive(post("Content-Length: 5\r\n"));
    assert.equal(announced.refused[0]?.code, "ERR_REQUEST_TOO_LARGE");
    const chunked = serve({ maxBodyBytes: 4 });
    chunked.socket.receive(post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"));
    take(chunked.served[0]!);
    chunked.socket.receive("3\r\nabc\r\n");
    assert.equal(chunked.served[0]!.reception.aborted?.code, "ERR_REQUEST_TOO_LARGE");
  });
});

describe("serveConnection() replies", () => {
  it("answers pipelined requests in order, one at a time", async () => {
    const { socket, served } = serve();
    socket.receive(get("/1") + get("/2") + get("/3"));
    assert.equal(served.length, 1, "the second waits for the first");
    for (let n = 0; n < 3; n++) {
      served[n]!.respond(ok(`body${n + 1}`));
      await settle();
    }
    assert.deepEqual(
      served.map(({ request }) => request.head.target),
      ["/1", "/2", "/3"],
    );
    assert.deepEqual(socket.written.match(/body\d/g), ["body1", "body2", "body3"]);
    assert.deepEqual(
      served.map(({ reception }) => reception.finished),
      [1, 1, 1],
    );
    assert.equal(socket.hasEnded, false);
  });

  it("answers a request that was answered before it was handed over", async () => {
    const { socket, served } = serve({ handle: ({ respond }) => respond(ok("sync")) });
    socket.receive(get("/1") + get("/2"));
    await settle();
    await settle();
    assert.equal(served.length, 2);
    assert.equal(socket.written.match(/sync/g)?.length, 2);
  });

  it("bounds what a client sends ahead", () => {
    const { socket } = serve({ limits: { highWaterBytes: 1_000 } });
    socket.receive(get("/1"));
    for (let n = 0; n < 100 && !socket.isPaused; n++) socket.receive(get(`/${"x".repeat(100)}`));
    assert.equal(socket.isPaused, true);
  });

  it("starts no request for a client that does not read its replies", async () => {
    const { socket, served } = serve({ handle: ({ respond }) => respond(ok()) });
    socket.receive(get("/1"));
    await settle();
    socket.bufferedBytes = 1_000_000;
    socket.receive(get("/2"));
    await settle();
    assert.equal(served.length, 1);
    socket.bufferedBytes = 0;
    socket.drained();
    await settle();
    assert.equal(served.length, 2);
  });

  it("sends no body for HEAD, 204 and 304, and keeps the length they name", async () => {
    for (const [request, response, length] of [
      [get("/").replace("GET", "HEAD"), ok("12345"), "5"],
      [get("/"), new Response(null, { status: 304, headers: { "content-length": "5" } }), "5"],
      [get("/"), new Response(null, { status: 204, headers: { "content-length": "0" } }), undefined],
    ] as const) {
      const { socket, served } = serve();
      socket.receive(request);
      served[0]!.respond(response);
      await settle();
      assert.equal(/content-length: (\d+)/.exec(socket.written)?.[1], length);
      assert.ok(socket.written.endsWith("\r\n\r\n"), "ends with the head");
    }
  });

  it("speaks to HTTP/1.0 without chunks and closes", async () => {
    const { socket, served } = serve();
    socket.receive("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    served[0]!.respond(new Response(new ReadableStream({ start: (c) => (c.enqueue(bytesOf("abc")), c.close()) })));
    await settle();
    assert.match(socket.written, /^HTTP\/1\.1 200 [^]*connection: close\r\n\r\nabc$/);
    assert.equal(socket.hasEnded, true);
  });

  it("adds Date where it is missing, and only there", async () => {
    const { socket, served } = serve();
    socket.receive(get("/") + get("/"));
    served[0]!.respond(new Response(null, { headers: { date: "mine" } }));
    await settle();
    served[1]!.respond(new Response(null));
    await settle();
    assert.deepEqual(
      socket.written.match(/^date: .*$/gm)?.map((line) => line.trim()),
      ["date: mine", "date: Thu, 01 Jan 2026 00:00:00 GMT"],
    );
  });

  it("applies responseEdits at the last moment and refuses to write a line end in them", async () => {
    const { socket, served } = serve();
    socket.receive(get("/") + get("/"));
    served[0]!.reception.responseEdits.set("x-mesh", "1");
    served[0]!.reception.responseEdits.set("Connection", "upgrade");
    served[0]!.respond(ok());
    await settle();
    assert.match(socket.written, /x-mesh: 1\r\n/);
    assert.doesNotMatch(socket.written, /upgrade/);
    served[1]!.reception.responseEdits.set("x-bad", "1\r\nSet-Cookie: evil");
    served[1]!.respond(ok());
    await settle();
    assert.doesNotMatch(socket.written, /evil/);
    assert.match(socket.written, /HTTP\/1\.1 500 /);
  });

  it("breaks the connection off when the reply's body breaks, and never ends it cleanly", async () => {
    const { socket, served } = serve();
    socket.receive(get("/"));
    served[0]!.respond(new Response(new ReadableStream({ pull: (c) => c.error(new Error("gone")) })));
    await settle();
    assert.equal(socket.isDestroyed, true);
    assert.doesNotMatch(socket.written, /0\r\n\r\n$/);
    assert.equal(served[0]!.reception.finished, 1);
  });

  it("breaks off a reply shorter or longer than its Content-Length", async () => {
    for (const length of ["2", "4"]) {
      const { socket, served } = serve();
      socket.receive(get("/"));
      const stream = new ReadableStream({ start: (c) => (c.enqueue(bytesOf("abc")), c.close()) });
      served[0]!.respond(new Response(stream, { headers: { "content-length": length } }));
      await settle();
      assert.equal(socket.isDestroyed, true);
    }
  });

  it("writes a whole reply once", async () => {
    const { socket, served } = serve();
    socket.receive(get("/"));
    served[0]!.respond(new Response(null, { status: 200 }));
    assert.equal(socket.writes, 1);
  });
});

describe("serveConnection() and its client", () => {
  it("invites an expected body when somebody wants it, once", () => {
    const { socket, served } = serve();
    socket.receive(post("Expect: 100-continue\r\nContent-Length: 2\r\n"));
    assert.equal(socket.written, "");
    take(served[0]!);
    assert.equal(socket.written, "HTTP/1.1 100 Continue\r\n\r\n");
    assert.equal(served[0]!.request.rawHeaders(served[0]!.reception.responseEdits).includes("Expect"), false);
  });

  it("does not invite a body it refuses, and closes as it may come anyway", async () => {
    const { socket, served } = serve();
    socket.receive(post("Expect: 100-continue\r\nContent-Length: 2\r\n"));
    served[0]!.respond(ok("no", { status: 403 }));
    await settle();
    assert.doesNotMatch(socket.written, /100 Continue/);
    assert.match(socket.written, /connection: close/);
    assert.equal(socket.hasEnded, true);
  });

  it("aborts the exchange when the client goes while it waits", () => {
    const serving = serve();
    serving.socket.receive(get("/"));
    serving.socket.destroy();
    const { reception } = serving.served[0]!;
    assert.deepEqual(
      [reception.aborted?.code, reception.finished, serving.isClosed],
      ["ERR_DOWNSTREAM_CLOSED", 1, true],
    );
    // A reply that comes too late is let go.
    serving.served[0]!.respond(ok());
    assert.equal(serving.socket.written, "");
  });

  it("tells `request.signal`, asked for before or after", () => {
    const { socket, served } = serve();
    socket.receive(get("/"));
    const { signal } = served[0]!.request;
    socket.destroy();
    assert.equal(signal.aborted, true);
    assert.equal(served[0]!.request.signal.aborted, true);
  });

  it("gives a half-closed client its reply, and aborts when none comes soon", async () => {
    const quick = serve();
    quick.socket.receive(get("/"));
    quick.socket.receiveEnd();
    quick.served[0]!.respond(ok());
    await settle();
    assert.match(quick.socket.written, /200/);
    assert.equal(quick.socket.hasEnded, true);
    const slow = serve();
    slow.socket.receive(get("/"));
    slow.socket.receiveEnd();
    slow.clock.advance(150);
    assert.equal(slow.served[0]!.reception.aborted?.code, "ERR_DOWNSTREAM_CLOSED");
  });

  it("aborts a request whose body will not be complete", () => {
    const { socket, served } = serve();
    socket.receive(post("Content-Length: 10\r\n", "abc"));
    const taker = take(served[0]!);
    socket.receiveEnd();
    assert.equal(taker.error_?.code, "ERR_DOWNSTREAM_CLOSED");
    assert.equal(served[0]!.reception.aborted?.code, "ERR_DOWNSTREAM_CLOSED");
  });

  it("stops reading a body nobody takes, and goes on when it is taken", () => {
    const { socket, served } = serve({ limits: { highWaterBytes: 100 } });
    socket.receive(post("Content-Length: 1000\r\n", "x"));
    for (let n = 0; n < 9 && !socket.isPaused; n++) socket.receive("x".repeat(50));
    assert.equal(socket.isPaused, true);
    const taker = take(served[0]!);
    assert.equal(socket.isPaused, false);
    taker.accepts = false;
    socket.receive("y");
    assert.equal(socket.isPaused, true);
    taker.accepts = true;
    served[0]!.request.source.resume();
    assert.equal(socket.isPaused, false);
  });

  it("gives a head its time from the first byte to the last, however it trickles", async () => {
    const { socket, clock, refused } = serve({ limits: { headerTimeoutMs: 1_000 } });
    for (let n = 0; n < 12; n++) {
      socket.receive("G");
      clock.advance(100);
    }
    await settle();
    assert.equal(refused[0]?.code, "ERR_REQUEST_TIMEOUT");
    assert.match(socket.written, /^HTTP\/1\.1 408 /);
  });

  it("closes a connection idle for too long without a word", () => {
    const { socket, clock } = serve({ limits: { idleTimeoutMs: 1_000 } });
    clock.advance(1_200);
    assert.deepEqual([socket.hasEnded, socket.isDestroyed, socket.written], [true, false, ""]);
    clock.advance(2_200);
    assert.equal(socket.isDestroyed, true);
  });

  it("keeps a connection that ends for as long as its last reply is not sent, and not for ever", async () => {
    const { socket, clock, served } = serve({ limits: { streamIdleTimeoutMs: 10_000 } });
    socket.receive(get("/", "Connection: close\r\n"));
    socket.bufferedBytes = 5;
    served[0]!.respond(ok());
    await settle();
    clock.advance(8_000);
    assert.deepEqual([socket.hasEnded, socket.isDestroyed], [true, false]);
    clock.advance(4_200);
    assert.equal(socket.isDestroyed, true);
  });

  it("resets a body that has stopped moving", () => {
    const { socket, clock, served } = serve({ limits: { streamIdleTimeoutMs: 1_000 } });
    socket.receive(post("Content-Length: 10\r\n", "abc"));
    clock.advance(1_200);
    assert.equal(served[0]!.reception.aborted?.code, "ERR_STREAM_IDLE");
    assert.equal(socket.isDestroyed, true);
  });

  it("does not hurry an exchange that waits for its reply", () => {
    const { socket, clock } = serve();
    socket.receive(get("/"));
    clock.advance(3_600_000);
    assert.equal(socket.isDestroyed, false);
  });

  it("closes behind a reply that a layer wants to be the last", async () => {
    const { socket, served } = serve();
    socket.receive(get("/"));
    served[0]!.reception.responseEdits.set("connection", "close");
    served[0]!.respond(ok());
    await settle();
    assert.match(socket.written, /\r\nconnection: close\r\n/);
    assert.equal(socket.written.match(/connection:/g)?.length, 1);
    assert.equal(socket.hasEnded, true);
  });

  it("drains: closes at once when idle, behind the reply when not", async () => {
    const idle = serve();
    idle.connection.drain();
    assert.equal(idle.socket.hasEnded, true);
    const busy = serve();
    busy.socket.receive(get("/"));
    busy.connection.drain();
    assert.equal(busy.socket.hasEnded, false);
    busy.served[0]!.respond(ok());
    await settle();
    assert.match(busy.socket.written, /connection: close/);
    assert.equal(busy.socket.hasEnded, true);
  });

  it("swallows for a while what comes behind its last reply, then cuts", async () => {
    const { socket, clock, served } = serve();
    socket.receive(get("/", "Connection: close\r\n"));
    served[0]!.respond(ok());
    await settle();
    socket.receive(get("/2"));
    assert.equal(served.length, 1);
    clock.advance(2_200);
    assert.equal(socket.isDestroyed, true);
  });

  it("survives a receiver that throws", async () => {
    const { socket, refused } = serve({
      handle: () => {
        throw new Error("defect");
      },
    });
    socket.receive(get("/"));
    await settle();
    assert.equal(refused[0]?.code, "ERR_INTERNAL");
    assert.match(socket.written, /^HTTP\/1\.1 500 /);
  });
});
