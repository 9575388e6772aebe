/** The part of the socket contract about beginnings and ends: attach, destroy, close exactly once. */
import assert from "node:assert/strict";
import { MeshError } from "../../src/errors.ts";
import { pause } from "./_bench.ts";
import { Recorder } from "./_recorder.ts";
import { MEGABYTE, type Rule } from "./_rule.ts";

/** `noReset`: why a destroyed connection of this kind cannot be told from an ended one. */
export function endRules(rule: Rule, noReset: string | undefined): void {
  rule("what happens before attach() is not lost", async (bench) => {
    const client = await bench.connect();
    const server = new Recorder(await bench.accepted());
    server.socket.write("early");
    server.socket.end();
    await pause(50);
    const late = new Recorder(client);
    await late.ended();
    assert.equal(late.text, "early");
    late.socket.end();
    await Promise.all([late.closed(), server.closed()]);
    late.check();
  });

  rule("a close before attach() is told to whoever attaches", async (bench) => {
    const client = await bench.connect();
    (await bench.accepted()).destroy();
    await pause(50);
    const late = new Recorder(client);
    // What an unread FIN becomes is the runtime's choice: an end or a close; after our own end it must be a close.
    late.socket.end();
    await late.closed();
    late.check();
  });

  rule("pause() before attach() holds", async (bench) => {
    const client = await bench.connect();
    const socket = await bench.accepted();
    socket.pause();
    const server = new Recorder(socket);
    client.write("held");
    await pause(60);
    assert.equal(server.bytes, 0);
    socket.resume();
    await server.received(4);
  });

  rule("attach() again hands the connection to another handler", async (bench) => {
    const { client, server } = await bench.pair();
    client.socket.write("head");
    await server.received(4);
    const next = new Recorder(server.socket);
    client.socket.write("tunnel");
    await next.received(6);
    assert.equal(server.text, "head");
    assert.equal(next.text, "tunnel");
    client.socket.destroy();
    next.socket.destroy();
    await next.closed();
    assert.equal(server.closes, 0);
    next.check();
  });

  rule("destroy() closes both sides once, with our reason on ours", async (bench) => {
    const { client, server } = await bench.pair();
    const reason = new MeshError("ERR_STREAM_IDLE", "idle");
    client.socket.destroy(reason);
    client.socket.destroy();
    assert.equal(client.closes, 0, "not from inside destroy()");
    assert.equal(client.socket.write("late"), false);
    await client.closed();
    assert.equal(client.error, reason);
    await server.until(() => server.closes + server.ends > 0, "close or end");
    server.socket.end();
    await server.closed();
    await pause(30);
    client.check();
    server.check();
  });

  rule("destroy() does not wait for a stalled reader", async (bench) => {
    const { client, server } = await bench.pair();
    server.socket.pause();
    client.socket.write(new Uint8Array(30 * MEGABYTE));
    await pause(50);
    client.socket.destroy();
    await client.closed();
    assert.equal(client.socket.write("x"), false);
    server.socket.resume();
    server.keepsChunks = false;
    await server.until(() => server.closes + server.ends > 0, "the end");
    assert.ok(server.bytes < 30 * MEGABYTE);
    server.socket.destroy();
    await server.closed();
    server.check();
  });

  for (const buffered of [0, 30 * MEGABYTE]) {
    rule(
      `destroy() with ${buffered} bytes buffered never looks like a clean end`,
      async (bench) => {
        const { client, server } = await bench.pair();
        client.keepsChunks = false;
        if (buffered > 0) client.socket.pause();
        server.socket.write("part");
        server.socket.write(new Uint8Array(buffered));
        await pause(30);
        server.socket.destroy();
        await pause(30);
        client.socket.resume();
        await client.closed();
        assert.equal(client.ends, 0);
        assert.ok(client.error !== undefined);
      },
      noReset,
    );
  }

  rule("a handler that throws loses its connection and nothing else", async (bench) => {
    const { client, server } = await bench.pair();
    server.onData = () => {
      throw new Error("a bug of the handler");
    };
    client.socket.write("x");
    await server.closed();
    assert.match(String(server.error?.message), /a bug of the handler/);
    const other = await bench.pair();
    other.client.socket.write("y");
    await other.server.received(1);
  });
}
