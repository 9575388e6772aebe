/** The contract of transports at the level of requests: the same `mesh.fetch`, whatever carries the bytes. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Events } from "../../src/observe/events.ts";
import type { Mesh } from "../../src/mesh.ts";
import type { SocketTransport } from "../../src/runtime/contract.ts";
import { serveFetch } from "../../src/transport/serve-fetch.ts";
import type { FetchServer } from "../../src/transport/wire-options.ts";
import { eventually } from "../support/ports.ts";

export interface RequestSetup {
  /** What the upstream listens on. */
  readonly server: SocketTransport;
  readonly makeMesh: (documents: readonly object[], events: Events) => Mesh;
  /** Whether a refused connection is told from a lost one, so that also a POST can go elsewhere. */
  readonly namesRefusals: boolean;
}

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

export function requestSuite(name: string, prepare: () => RequestSetup): void {
  describe(`${name}: requests`, () => {
    let setup: RequestSetup;
    let server: FetchServer;
    let mesh: Mesh;
    let started = 0;
    let finished = 0;
    const aborted: string[] = [];
    let alive: ReturnType<typeof setInterval>;

    before(async () => {
      // Nothing of ours keeps a process alive, and memory is no socket: Deno ends a test whose event loop is empty.
      alive = setInterval(() => {}, 1_000);
      setup = prepare();
      server = await serveFetch(setup.server, { host: "127.0.0.1", port: 0 }, answer);
      const gone = await serveFetch(setup.server, { host: "127.0.0.1", port: 0 }, answer);
      await gone.close();
      const service = (name: string, ...addresses: string[]): object => ({
        apiVersion: "fetchmesh.dev/v1alpha1",
        kind: "Service",
        metadata: { name },
        spec: { endpoints: addresses.map((address) => ({ address })) },
      });
      const spares = ["put", "post", "stream"].map((name) => service(`spare-${name}`, gone.address, server.address));
      mesh = setup.makeMesh([service("orders", server.address), service("gone", gone.address), ...spares], {
        requestStarted: () => void started++,
        requestFinished: () => void finished++,
      });
    });

    after(async () => {
      clearInterval(alive);
      await mesh?.close();
      await server?.close();
      assert.equal(finished, started, "each exchange is finished exactly once");
    });

    async function answer(request: Request): Promise<Response> {
      const { pathname } = new URL(request.url);
      if (pathname === "/echo") {
        const body = await request.text();
        return Response.json({
          method: request.method,
          url: request.url.slice(request.url.indexOf("/", 8)),
          headers: Object.fromEntries(request.headers),
          body: body.length > 1_000 ? body.length : body,
        });
      }
      if (pathname === "/cookies")
        return new Response("c", {
          status: 299,
          headers: [
            ["set-cookie", "a=1"],
            ["set-cookie", "b=2"],
            ["x-one", "1"],
          ],
        });
      if (pathname === "/redirect") return new Response(null, { status: 307, headers: { location: "/echo" } });
      if (pathname === "/empty") return new Response(null, { status: 204 });
      if (pathname === "/upper")
        return new Response(
          request.body!.pipeThrough(
            new TransformStream({
              transform: (chunk, controller) => controller.enqueue(new TextEncoder().encode(text(chunk).toUpperCase())),
            }),
          ),
        );
      if (pathname === "/break") return new Response(breaking());
      if (pathname === "/drip") return new Response(dripping());
      request.signal.addEventListener("abort", () => aborted.push(pathname));
      return new Promise(() => {});
    }

    function breaking(): ReadableStream<Uint8Array> {
      let pulls = 0;
      return new ReadableStream({
        async pull(controller) {
          if (pulls++ === 0) return controller.enqueue(new Uint8Array(10));
          // A reset may overtake what was sent right before it.
          await new Promise((resolve) => setTimeout(resolve, 50));
          controller.error(new Error("broken"));
        },
      });
    }

    function dripping(): ReadableStream<Uint8Array> {
      return new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          controller.enqueue(new Uint8Array(1_000));
        },
        cancel: () => void aborted.push("/drip"),
      });
    }

    it("hands status, headers and body through, each Set-Cookie by itself", async () => {
      const response = await mesh.fetch("http://orders/cookies");
      assert.equal(response.status, 299);
      assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
      assert.equal(response.headers.get("x-one"), "1");
      assert.equal(await response.text(), "c");
    });

    it("sends method, target and headers as given, and nothing of the connection's", async () => {
      const response = await mesh.fetch("http://orders/echo?a=%20b&c", {
        method: "PATCH",
        body: "x",
        headers: { "x-a": "1", "content-type": "text/x" },
      });
      const echo = (await response.json()) as { method: string; url: string; headers: Record<string, string> };
      assert.equal(echo.method, "PATCH");
      assert.equal(echo.url, "/echo?a=%20b&c");
      assert.equal(echo.headers["x-a"], "1");
      assert.equal(echo.headers["content-type"], "text/x");
      assert.equal(echo.headers["x-mesh-hops"], "1");
      assert.equal(echo.headers["content-length"], "1");
    });

    it("answers HEAD and 204 without a body", async () => {
      assert.equal((await mesh.fetch("http://orders/cookies", { method: "HEAD" })).status, 299);
      const empty = await mesh.fetch("http://orders/empty");
      assert.equal(empty.status, 204);
      assert.equal(await empty.text(), "");
    });

    it("follows no redirect", async () => {
      const response = await mesh.fetch("http://orders/redirect");
      assert.equal(response.status, 307);
      assert.equal(response.headers.get("location"), "/echo");
    });

    it("streams a megabyte up without holding it, and a stream of unknown length", async () => {
      let left = 100;
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => (left-- > 0 ? controller.enqueue(new Uint8Array(10_000)) : controller.close()),
      });
      const response = await mesh.fetch("http://orders/echo", { method: "POST", body, duplex: "half" } as RequestInit);
      assert.equal(((await response.json()) as { body: number }).body, 1_000_000);
    });

    it("streams a response as it comes, and stops it when its reader leaves", async () => {
      const response = await mesh.fetch("http://orders/drip");
      const reader = response.body!.getReader();
      assert.ok((await reader.read()).value!.length > 0);
      await reader.cancel();
      await eventually("the upstream to be told", () => aborted.includes("/drip"));
    });

    it("repeats what was never sent at another endpoint, its body with it", async () => {
      for (let i = 0; i < 4; i++) {
        const put = await mesh.fetch("http://spare-put/echo", { method: "PUT", body: "again" });
        assert.equal(((await put.json()) as { body: string }).body, "again");
        if (!setup.namesRefusals) continue;
        const post = await mesh.fetch("http://spare-post/echo", {
          method: "POST",
          body: new URLSearchParams({ a: "b c" }),
        });
        assert.equal(((await post.json()) as { body: string }).body, "a=b+c");
        const body = new Blob(["from a ", "stream"]).stream();
        const stream = await mesh.fetch("http://spare-stream/echo", {
          method: "POST",
          body,
          duplex: "half",
        } as RequestInit);
        assert.equal(((await stream.json()) as { body: string }).body, "from a stream");
      }
    });

    it("says which address refused the connection", async () => {
      const response = await mesh.fetch("http://gone/echo");
      assert.equal(response.status, 503);
      if (setup.namesRefusals) assert.equal(response.headers.get("x-mesh-error"), "ERR_CONNECT_FAILED");
      assert.match(await response.text(), /127\.0\.0\.1:\d+/);
    });

    it("rejects with the caller's reason when the caller aborts, and tells the upstream", async () => {
      const reason = new Error("enough");
      const abort = new AbortController();
      const call = mesh.fetch("http://orders/hang", { signal: abort.signal });
      setTimeout(() => abort.abort(reason), 50);
      await assert.rejects(call, (error) => error === reason);
      await eventually("the upstream to be told", () => aborted.includes("/hang"));
      await assert.rejects(
        mesh.fetch("http://orders/echo", { signal: AbortSignal.abort(reason) }),
        (error) => error === reason,
      );
    });

    it("shows a body that broke off as broken", async () => {
      const response = await mesh.fetch("http://orders/break");
      await assert.rejects(response.arrayBuffer());
    });

    it("blames the caller, and not the endpoint, for a body that breaks off", async () => {
      let pulls = 0;
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) =>
          pulls++ === 0 ? controller.enqueue(new Uint8Array(10)) : controller.error(new Error("my own fault")),
      });
      const response = await mesh.fetch("http://orders/echo", { method: "POST", body, duplex: "half" } as RequestInit);
      assert.equal(response.status, 499);
      assert.equal((await mesh.fetch("http://orders/empty")).status, 204);
    });

    it("serves 50 at once, and gives back what bodies nobody reads held", async () => {
      const replies = await Promise.all(Array.from({ length: 50 }, () => mesh.fetch("http://orders/echo")));
      assert.ok(replies.every(({ status }) => status === 200));
      await eventually("every exchange to be over", () => finished === started);
    });
  });
}
