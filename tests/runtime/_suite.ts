/** The contract of `SocketTransport` at the level of bytes: what every implementation must do, plain or encrypted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import type { ByteSocket } from "../../src/runtime/contract.ts";
import { Bench, eventually, pause, type Setup } from "./_bench.ts";
import { Recorder } from "./_recorder.ts";
import { assertRuntime } from "./support.ts";

const MEGABYTE = 1_000_000;

/** `noReset`: why a destroyed connection of this kind cannot be told from an ended one. */
export function socketSuite(name: string, prepare: () => Promise<Setup>, noReset?: string): void {
  describe(name, () => {
    let setup: Setup;
    before(async () => {
      assertRuntime();
      setup = await prepare();
    });

    /** A case with a listener of its own, closed whatever happens. */
    const rule = (title: string, body: (bench: Bench) => Promise<void>, skip?: string): void => {
      it(`${name} ${title}`, { skip: skip ?? false }, async () => {
        const bench = await Bench.open(setup);
        try {
          await body(bench);
        } finally {
          await bench.close();
        }
      });
    };

    rule("delivers bytes unchanged and in order, both ways", async (bench) => {
      const { client, server } = await bench.pair();
      const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      server.onData = (chunk) => void server.socket.write(chunk.slice());
      client.socket.write(every);
      client.socket.write(every.toString("latin1"));
      await client.received(512);
      assert.deepEqual(Buffer.concat(client.chunks), Buffer.concat([every, every]));
      client.socket.end();
      await server.ended();
      server.socket.end();
      await Promise.all([client.closed(), server.closed()]);
      client.check();
      server.check();
      assert.equal(client.error, undefined);
      assert.equal(server.error, undefined);
    });

    rule("corked writes keep their order, and their bytes count as buffered", async (bench) => {
      const { client, server } = await bench.pair();
      client.socket.cork();
      client.socket.cork();
      client.socket.write("head\r\n\r\n");
      client.socket.write(Buffer.from("body"));
      client.socket.uncork();
      assert.ok(client.socket.bufferedBytes >= 12);
      await pause(20);
      assert.equal(server.bytes, 0, "still corked once");
      client.socket.uncork();
      client.socket.write("\xe9nd");
      client.socket.cork();
      client.socket.write("!");
      client.socket.end();
      await server.ended();
      assert.equal(server.text, "head\r\n\r\nbody\xe9nd!");
    });

    rule("a corked message larger than one buffer arrives whole", async (bench) => {
      const { client, server } = await bench.pair();
      client.socket.cork();
      client.socket.write("x".repeat(50_000));
      client.socket.write(new Uint8Array(MEGABYTE).fill(121));
      client.socket.uncork();
      client.socket.end();
      await server.ended();
      assert.equal(server.text, "x".repeat(50_000) + "y".repeat(MEGABYTE));
    });

    rule("half-close: who finished sending still receives", async (bench) => {
      const { client, server } = await bench.pair();
      client.socket.write("request");
      client.socket.end();
      await server.ended();
      assert.equal(server.text, "request");
      await pause(20);
      assert.equal(server.closes, 0);
      assert.equal(client.closes, 0);
      server.socket.write("late ");
      await client.received(5);
      server.socket.write("reply");
      server.socket.end();
      await Promise.all([client.closed(), server.closed()]);
      assert.equal(client.text, "late reply");
      assert.equal(client.ends, 1);
      client.check();
      server.check();
      assert.equal(client.error, undefined);
    });

    rule("write() after end() is refused and harms nothing", async (bench) => {
      const { client, server } = await bench.pair();
      client.socket.write("all");
      client.socket.end();
      client.socket.end();
      assert.equal(client.socket.write("more"), false);
      await server.ended();
      assert.equal(server.text, "all");
    });

    rule("a stalled reader of 50 MB holds the writer back, and gets every byte later", async (bench) => {
      const { client, server } = await bench.pair();
      const total = 50 * MEGABYTE;
      const piece = new Uint8Array(MEGABYTE / 10).fill(7);
      let written = 0;
      client.onDrain = () => pump();
      const pump = (): void => {
        while (written < total) {
          written += piece.length;
          if (!client.socket.write(piece)) return;
        }
        client.socket.end();
      };
      server.keepsChunks = false;
      server.socket.pause();
      pump();
      await pause(1_000);
      assert.equal(server.bytes, 0);
      // Two kernel buffers of up to 6 MB each on Linux's loopback, and the last write.
      assert.ok(written < 20 * MEGABYTE, `${written} bytes were taken of a writer whose reader is paused`);
      server.socket.resume();
      await server.ended();
      assert.equal(server.bytes, total);
      assert.equal(client.violations.length + server.violations.length, 0);
    });

    rule("drain() follows every write() that returned false", async (bench) => {
      const { client, server } = await bench.pair();
      server.keepsChunks = false;
      let refused = 0;
      for (let round = 1; round <= 5; round++) {
        if (!client.socket.write(new Uint8Array(2 * MEGABYTE))) refused++;
        await client.until(() => client.drains >= refused, `drain ${refused}`);
        await server.received(round * 2 * MEGABYTE);
      }
      client.socket.cork();
      assert.equal(client.socket.write(new Uint8Array(2 * MEGABYTE)), false);
      client.socket.uncork();
      await client.until(() => client.drains > refused, "drain of a corked write");
      await server.received(12 * MEGABYTE);
      assert.equal(client.socket.bufferedBytes, 0);
    });

    rule("nothing is delivered while paused, and everything in order after resume()", async (bench) => {
      const { client, server } = await bench.pair();
      client.socket.write("1");
      await server.received(1);
      server.socket.pause();
      client.socket.write("2");
      await pause(30);
      client.socket.write("3");
      client.socket.end();
      await pause(60);
      assert.equal(server.text, "1");
      assert.equal(server.ends, 0);
      server.socket.resume();
      await server.ended();
      assert.equal(server.text, "123");
    });

    rule("a handler may pause in the middle and resume later, without overlap", async (bench) => {
      const { client, server } = await bench.pair();
      const payload = Buffer.alloc(3 * MEGABYTE, "abcdefghij");
      let pauses = 0;
      server.onData = () => {
        server.socket.pause();
        pauses++;
        if (pauses % 2 === 0) server.socket.resume();
        else setTimeout(() => server.socket.resume(), 0);
      };
      client.socket.write(payload);
      client.socket.end();
      await server.ended();
      assert.ok(Buffer.concat(server.chunks).equals(payload));
      assert.deepEqual(server.violations, []);
    });

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

    rule("addresses and ports are those of the connection", async (bench) => {
      if (setup.listen.path !== undefined) {
        assert.equal(bench.listener.address, `unix:${setup.listen.path}`);
        return;
      }
      const { client, server } = await bench.pair();
      assert.equal(bench.listener.address, `127.0.0.1:${bench.listener.port}`);
      assert.equal(client.socket.remoteAddress, "127.0.0.1");
      assert.equal(client.socket.remotePort, bench.listener.port);
      assert.equal(server.socket.remoteAddress, "127.0.0.1");
      assert.equal(server.socket.localPort, bench.listener.port);
      assert.equal(server.socket.remotePort, client.socket.localPort);
      assert.equal(client.socket.encrypted, setup.connect.tls !== undefined);
    });

    rule("100 connections at once keep their bytes apart", async (bench) => {
      const pairs = await Promise.all(Array.from({ length: 100 }, () => bench.connect()));
      const clients = pairs.map((socket) => new Recorder(socket));
      for (const [i, client] of clients.entries()) client.socket.write(`number ${i};`);
      for (let i = 0; i < clients.length; i++) {
        const server = new Recorder(await bench.accepted());
        server.onData = (chunk) => void server.socket.write(chunk.slice());
      }
      await Promise.all(clients.map((client, i) => client.received(`number ${i};`.length)));
      assert.deepEqual(
        clients.map((client) => client.text),
        clients.map((_, i) => `number ${i};`),
      );
    });

    rule("connect() where nobody listens says so at once: refused, nothing sent", async (bench) => {
      await bench.listener.close();
      await assert.rejects(bench.connect(), (error: unknown) => {
        assert.ok(error instanceof MeshError);
        assert.equal(error.code, "ERR_CONNECT_FAILED");
        assert.equal(error.sent, "nothing");
        assert.match(
          error.message,
          setup.listen.path === undefined
            ? /^127\.0\.0\.1:\d+: connection refused$/
            : /no such socket file|connection refused/,
        );
        return true;
      });
    });

    rule("connect() that was called off before it began never connects", async (bench) => {
      const reason = new MeshError("ERR_DOWNSTREAM_CLOSED", "the caller left");
      await assert.rejects(bench.connect({ signal: AbortSignal.abort(reason) }), reason);
      await assert.rejects(bench.connect({ signal: AbortSignal.abort() }), {
        code: "ERR_CONNECT_FAILED",
        sent: "nothing",
      });
      await pause(20);
      assert.equal(bench.acceptedCount, 0);
    });

    rule("listen() on a taken address names it and a way out", async (bench) => {
      const { listen } = setup;
      const again = listen.path === undefined ? { ...listen, port: bench.listener.port } : listen;
      await assert.rejects(bench.listen(again), (error: unknown) => {
        assert.ok(error instanceof MeshError);
        assert.equal(error.code, "ERR_OPTION_INVALID");
        assert.match(
          error.message,
          listen.path === undefined
            ? new RegExp(`port ${bench.listener.port} is taken .*port 0`)
            : /is taken by a running process/,
        );
        return true;
      });
    });

    rule("close() of a listener frees its address and leaves live connections alone", async (bench) => {
      const { client, server } = await bench.pair();
      await bench.listener.close();
      const { listen } = setup;
      await bench.listen(listen.path === undefined ? { ...listen, port: bench.listener.port } : listen);
      server.onData = (chunk) => void server.socket.write(chunk.slice());
      client.socket.write("still here");
      await client.received(10);
    });

    it(`${name} an onSocket() that throws is reported and loses that connection only`, async () => {
      let isBroken = true;
      const alive: ByteSocket[] = [];
      const bench = await Bench.open(setup, (socket) => {
        if (isBroken) throw new Error("a bug of the listener");
        alive.push(socket);
      });
      try {
        // The reset may be faster than the news that we are connected.
        const socket = await bench.connect().catch(() => null);
        const client = socket === null ? null : new Recorder(socket);
        await client?.until(() => client.closes + client.ends > 0, "the end");
        await eventually(() => bench.errors.length === 1, "the report");
        assert.match(String(bench.errors[0]?.message), /a bug of the listener/);
        isBroken = false;
        await bench.connect();
        await eventually(() => alive.length === 1, "the next connection");
      } finally {
        await bench.close();
      }
    });

    after(() => {
      assert.ok(setup.transport.capabilities.runtime.length > 0);
    });
  });
}
