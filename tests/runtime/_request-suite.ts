/** The contract one level up: whatever sends a request, over our wire or the platform's, behaves alike. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import type { SocketTransport } from "../../src/runtime/contract.ts";
import { eventually, pause } from "./_bench.ts";
import { assertRuntime } from "./support.ts";
import { chunk, reply, startUpstream, type Answer, type Upstream } from "./_upstream.ts";

export interface Sender {
  /** Where the upstream of each case listens. */
  readonly transport: SocketTransport;
  send(request: Request, address: string): Promise<Response>;
}

export function requestSuite(name: string, open: () => Sender): void {
  describe(`${name} requests`, () => {
    let sender: Sender;
    before(() => {
      assertRuntime();
      sender = open();
    });

    const rule = (title: string, answer: Answer, body: (upstream: Upstream) => Promise<void>): void => {
      it(`${name} ${title}`, async () => {
        const upstream = await startUpstream(sender.transport, answer);
        try {
          await body(upstream);
        } finally {
          await upstream.close();
        }
      });
    };
    const get = (upstream: Upstream, target = "/", init: RequestInit = {}): Promise<Response> =>
      sender.send(new Request(`${upstream.address}${target}`, init), upstream.address);

    rule(
      "sends method, target, fields and body, and gives status, fields and body back",
      (socket, request) =>
        socket.write(
          reply("201 Created", ["x-answer: yes", "set-cookie: a=1", "set-cookie: b=2"], `got ${request.body}`),
        ),
      async (upstream) => {
        const init = { method: "POST", body: "a body", headers: { "x-question": "why", "content-type": "text/plain" } };
        const response = await get(upstream, "/a%20b/c?x=1&x=2&y=%C3%A9", init);
        assert.equal(response.status, 201);
        assert.equal(response.headers.get("x-answer"), "yes");
        assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
        assert.equal(await response.text(), "got a body");
        const [request] = upstream.arrived;
        assert.equal(request?.method, "POST");
        assert.equal(request?.target, "/a%20b/c?x=1&x=2&y=%C3%A9");
        assert.equal(request?.fields.get("x-question"), "why");
        assert.equal(request?.body, "a body");
      },
    );

    rule(
      "hands redirects back instead of following them",
      (socket) => socket.write(reply("302 Found", ["location: /elsewhere"], "")),
      async (upstream) => {
        const response = await get(upstream);
        assert.equal(response.status, 302);
        assert.equal(response.headers.get("location"), "/elsewhere");
        assert.equal(upstream.arrived.length, 1);
      },
    );

    rule(
      "ends replies without a body where they end",
      (socket, request) => {
        if (request.method === "HEAD") socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
        else socket.write("HTTP/1.1 204 No Content\r\n\r\n");
      },
      async (upstream) => {
        assert.equal(await (await get(upstream, "/", { method: "HEAD" })).text(), "");
        const empty = await get(upstream);
        assert.equal(empty.status, 204);
        assert.equal(await empty.text(), "");
      },
    );

    rule(
      "gives a body out as it arrives",
      (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunk("first")}`);
        socket.attach({
          data() {},
          drain() {},
          end() {},
          close() {},
        });
        setTimeout(() => socket.write(`${chunk("second")}0\r\n\r\n`), 150);
      },
      async (upstream) => {
        const response = await get(upstream);
        const reader = response.body!.getReader();
        const startedMs = performance.now();
        const first = await reader.read();
        assert.equal(new TextDecoder().decode(first.value), "first");
        assert.ok(performance.now() - startedMs < 140);
        let rest = "";
        for (let next = await reader.read(); !next.done; next = await reader.read())
          rest += new TextDecoder().decode(next.value);
        assert.equal(rest, "second");
      },
    );

    rule(
      "takes a body from a stream",
      (socket, request) => socket.write(reply("200 OK", [], request.body)),
      async (upstream) => {
        const parts = ["one ", "two ", "three"];
        const body = new ReadableStream<Uint8Array>({
          async pull(controller) {
            await pause(10);
            const part = parts.shift();
            if (part === undefined) controller.close();
            else controller.enqueue(new TextEncoder().encode(part));
          },
        });
        const init = { method: "PUT", body, duplex: "half" };
        assert.equal(await (await get(upstream, "/", init)).text(), "one two three");
      },
    );

    rule(
      "an abort rejects with its own reason and closes the connection upstream",
      () => {},
      async (upstream) => {
        const abort = new AbortController();
        const reason = new MeshError("ERR_DEADLINE_EXCEEDED", "out of time");
        const sending = get(upstream, "/", { signal: abort.signal });
        await eventually(() => upstream.arrived.length === 1, "the request");
        abort.abort(reason);
        await assert.rejects(sending, (error: unknown) => error === reason);
        await eventually(() => upstream.closed === 1, "the close upstream");
      },
    );

    rule(
      "an abort in the middle of a reply closes the connection upstream",
      (socket) => socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunk("part")}`),
      async (upstream) => {
        const abort = new AbortController();
        const response = await get(upstream, "/", { signal: abort.signal });
        const reader = response.body!.getReader();
        await reader.read();
        abort.abort();
        await assert.rejects(async () => {
          while (!(await reader.read()).done);
        });
        await eventually(() => upstream.closed === 1, "the close upstream");
      },
    );

    rule(
      "a connection cut before the reply may have reached the service, and says so",
      (socket) => socket.destroy(),
      async (upstream) => {
        await assert.rejects(get(upstream, "/", { method: "POST", body: "x" }), (error: unknown) => {
          assert.ok(error instanceof MeshError);
          assert.equal(error.code, "ERR_UPSTREAM_RESET");
          assert.notEqual(error.sent, "nothing");
          return true;
        });
      },
    );

    rule(
      "a truncated body is an error, never a shorter body",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this");
        setTimeout(() => socket.end(), 30);
      },
      async (upstream) => {
        await assert.rejects(async () => (await get(upstream)).text());
      },
    );

    it(`${name} a refused connection is certain: ERR_CONNECT_FAILED, nothing sent, the address named`, async () => {
      const upstream = await startUpstream(sender.transport, () => {});
      await upstream.close();
      await assert.rejects(get(upstream), (error: unknown) => {
        assert.ok(error instanceof MeshError, String(error));
        assert.equal(error.code, "ERR_CONNECT_FAILED");
        assert.equal(error.sent, "nothing");
        assert.match(error.message, new RegExp(`${upstream.address.slice("http://".length)}: connection refused`));
        return true;
      });
    });
  });
}
