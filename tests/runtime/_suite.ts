/** The contract of `SocketTransport` at the level of bytes: what every implementation must do, plain or encrypted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import type { ByteSocket } from "../../src/runtime/contract.ts";
import { Bench, eventually, pause, type Setup } from "./_bench.ts";
import { Recorder } from "./_recorder.ts";
import type { Rule } from "./_rule.ts";
import { byteRules } from "./_suite-bytes.ts";
import { endRules } from "./_suite-ends.ts";
import { assertRuntime } from "./support.ts";

/** `noReset`: why a destroyed connection of this kind cannot be told from an ended one. */
export function socketSuite(name: string, prepare: () => Promise<Setup>, noReset?: string): void {
  describe(name, () => {
    let setup: Setup;
    before(async () => {
      assertRuntime();
      setup = await prepare();
    });

    const rule: Rule = (title, body, skip) => {
      it(`${name} ${title}`, { skip: skip ?? false }, async () => {
        const bench = await Bench.open(setup);
        try {
          await body(bench);
        } finally {
          await bench.close();
        }
      });
    };

    byteRules(rule);
    endRules(rule, noReset);

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
      // Two hundred handshakes of one thread: how long they take is the machine's business, not this rule's.
      const pairs = await Promise.all(Array.from({ length: 100 }, () => bench.connect({ timeoutMs: 30_000 })));
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
