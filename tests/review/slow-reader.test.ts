/** Who reads slowly gets all of it, also where the connection ends behind the reply. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import { serveFetch } from "../../src/transport/serve-fetch.ts";
import type { FetchServer } from "../../src/transport/wire-options.ts";
import { delay } from "../support/ports.ts";

/** More than the receiver takes unread, and little enough for the kernel to take all of it from us. */
const bodyBytes = 1_000_000;

describe("serveConnection() to a slow reader", () => {
  let server: FetchServer | null = null;
  after(async () => {
    await server?.close();
  });

  it("does not cut a last reply that the client has not read yet", async () => {
    const { transport } = currentRuntime();
    server = await serveFetch(
      transport,
      { host: "127.0.0.1", port: 0 },
      () => new Response(new Uint8Array(bodyBytes), { headers: { "content-length": String(bodyBytes) } }),
    );
    const socket = connect({ host: "127.0.0.1", port: server.port });
    let bytes = 0;
    let error: Error | null = null;
    const closed = new Promise<void>((resolve) => {
      socket.on("close", () => resolve());
      socket.on("error", (reason) => (error = reason));
    });
    socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    // Longer than any linger.
    socket.pause();
    await delay(3_500);
    socket.on("data", (chunk: Uint8Array) => void (bytes += chunk.length));
    socket.resume();
    await closed;
    assert.equal(error, null);
    assert.ok(bytes > bodyBytes, `${bytes} of ${bodyBytes} bytes`);
  });
});
