/** `wireFetch` and `serveFetch` against each other: the control plane's two ends. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { SocketTransport } from "../../src/runtime/contract.ts";
import { memoryTransport } from "../../src/runtime/memory-transport.ts";
import { serveFetch } from "../../src/transport/serve-fetch.ts";
import { wireFetch } from "../../src/transport/wire-fetch.ts";
import type { FetchHandler, FetchServer, ServeFetchOptions } from "../../src/transport/wire-options.ts";
import { makeCa, makeLeaf } from "../support/certificates.ts";

const transports: readonly (readonly [string, () => SocketTransport])[] = [
  ["memory", () => memoryTransport()],
  [currentRuntime().name, () => currentRuntime().transport],
];

for (const [name, make] of transports) {
  describe(`wireFetch() and serveFetch() on ${name}`, () => {
    const withServer = async (
      handler: FetchHandler,
      use: (base: string, transport: SocketTransport, server: FetchServer) => Promise<void>,
      options: ServeFetchOptions = {},
    ): Promise<void> => {
      const transport = make();
      const server = await serveFetch(transport, { host: "127.0.0.1", port: 0 }, handler, options);
      try {
        await use(`http://127.0.0.1:${server.port}`, transport, server);
      } finally {
        await server.close();
      }
    };

    it("carry method, path, headers and body both ways", () =>
      withServer(
        async (request) =>
          Response.json(
            {
              method: request.method,
              url: new URL(request.url).pathname,
              type: request.headers.get("content-type"),
              body: await request.json(),
            },
            { status: 201 },
          ),
        async (base, transport) => {
          const fetch = wireFetch(transport);
          for (let n = 0; n < 2; n++) {
            const request = new Request(`${base}/a/b?c`, {
              method: "PUT",
              body: JSON.stringify({ n }),
              headers: { "content-type": "application/json" },
            });
            const response = await fetch(request);
            assert.ok(response instanceof Response);
            assert.equal(response.status, 201);
            assert.deepEqual(await response.json(), {
              method: "PUT",
              url: "/a/b",
              type: "application/json",
              body: { n },
            });
          }
          fetch.close();
        },
      ));

    it("stream events as they are made, and stop when the reader aborts", async () => {
      let cancel = (): void => {};
      const cancelled = new Promise<void>((resolve) => (cancel = resolve));
      await withServer(
        (request) => {
          let n = 0;
          const body = new ReadableStream<Uint8Array>({
            async pull(controller) {
              controller.enqueue(new TextEncoder().encode(`data: ${n++}\n\n`));
              await new Promise((resolve) => setTimeout(resolve, 5));
            },
            cancel: () => cancel(),
          });
          assert.equal(request.signal.aborted, false);
          return new Response(body, { headers: { "content-type": "text/event-stream" } });
        },
        async (base, transport) => {
          const fetch = wireFetch(transport);
          const abort = new AbortController();
          const response = await fetch(new Request(base, { signal: abort.signal }));
          let text = "";
          await assert.rejects(async () => {
            for await (const chunk of response.body!) {
              text += new TextDecoder().decode(chunk);
              if (text.includes("data: 2")) abort.abort();
            }
          });
          assert.match(text, /^data: 0\n\ndata: 1\n\ndata: 2\n\n/);
          await cancelled;
        },
      );
    });

    it("reject with the signal's own reason, before and while waiting", () =>
      withServer(
        () => new Promise(() => {}),
        async (base, transport) => {
          const fetch = wireFetch(transport);
          const reason = new Error("enough");
          await assert.rejects(fetch(new Request(base, { signal: AbortSignal.abort(reason) })), /enough/);
          const abort = new AbortController();
          setTimeout(() => abort.abort(reason), 10);
          await assert.rejects(fetch(new Request(base, { signal: abort.signal })), /enough/);
        },
      ));

    it("bound a body, and answer a handler that throws", () =>
      withServer(
        async (request) => {
          if (request.method === "GET") throw new MeshError("ERR_RESOURCE_NOT_FOUND", "no such thing");
          return new Response(await request.text());
        },
        async (base, transport) => {
          const fetch = wireFetch(transport);
          assert.equal((await fetch(new Request(base, { method: "POST", body: "x".repeat(101) }))).status, 413);
          assert.equal((await fetch(new Request(base, { method: "POST", body: "x".repeat(100) }))).status, 200);
          const response = await fetch(new Request(base));
          assert.equal(response.status, 404);
          assert.match(await response.text(), /ERR_RESOURCE_NOT_FOUND/);
        },
        { maxBodyBytes: 100 },
      ));

    it("drain: answer what is in flight, then close", () => {
      let asked = (): void => {};
      const isAsked = new Promise<void>((resolve) => (asked = resolve));
      let respond: (response: Response) => void = () => {};
      return withServer(
        () => {
          asked();
          return new Promise((resolve) => (respond = resolve));
        },
        async (base, transport, server) => {
          const fetch = wireFetch(transport);
          const pending = fetch(new Request(base));
          await isAsked;
          const drained = server.drain(5_000);
          respond(new Response("last"));
          const response = await pending;
          assert.equal(response.headers.get("connection"), "close");
          assert.equal(await response.text(), "last");
          await drained;
          await assert.rejects(fetch(new Request(base)), (error: MeshError) => error.code === "ERR_CONNECT_FAILED");
        },
      );
    });

    it("say where nobody listens, and refuse https without roots", async () => {
      const fetch = wireFetch(make());
      await assert.rejects(
        fetch(new Request("http://127.0.0.1:1/")),
        (error: MeshError) => error.code === "ERR_CONNECT_FAILED" && error.sent === "nothing",
      );
      await assert.rejects(
        fetch(new Request("https://127.0.0.1:1/")),
        (error: MeshError) => error.code === "ERR_OPTION_INVALID",
      );
    });

    it("believe pinned roots only", async () => {
      const [ca, foreign] = await Promise.all([makeCa(), makeCa({ name: "foreign" })]);
      const leaf = await makeLeaf(ca, { dns: "localhost", ip: "127.0.0.1" });
      const transport = make();
      const server = await serveFetch(
        transport,
        { host: "127.0.0.1", port: 0, tls: { identity: leaf.identity, trust: ca.trust, clientAuth: "none" } },
        (request) => new Response(request.url),
      );
      const url = `https://127.0.0.1:${server.port}/x`;
      const trusting = wireFetch(transport, { tls: { trust: ca.trust } });
      assert.equal(await (await trusting(new Request(url))).text(), url);
      const other = wireFetch(transport, { tls: { trust: foreign.trust } });
      await assert.rejects(other(new Request(url)), (error: MeshError) => error.code === "ERR_UPSTREAM_IDENTITY");
      trusting.close();
      await server.close();
    });
  });
}
