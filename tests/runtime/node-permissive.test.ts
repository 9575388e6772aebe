/** `plaintext: "accept"`: TLS and plaintext on one port, each as good as on a port of its own. */
import assert from "node:assert/strict";
import { connect as connectNet } from "node:net";
import { before, describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import { nodeTransport } from "../../src/runtime/node-transport.ts";
import { makeCa, makeServiceLeaf, type TestCa } from "../support/certificates.ts";
import { Bench, eventually, pause, type Pair, type Setup } from "./_bench.ts";
import { Recorder } from "./_recorder.ts";
import { socketSuite } from "./_suite.ts";
import { assertRuntime, gapOf } from "./support.ts";

async function prepare(): Promise<Setup> {
  const ca = await makeCa();
  const [server, client] = await Promise.all([makeServiceLeaf(ca, "orders"), makeServiceLeaf(ca, "web")]);
  return {
    transport: currentRuntime().transport,
    listen: { tls: { identity: server.identity, trust: ca.trust, clientAuth: "required", plaintext: "accept" } },
    connect: { tls: { identity: client.identity, trust: ca.trust, verifyPeer: () => null } },
  };
}

socketSuite("nodeTransport permissive mTLS", prepare, gapOf("reset-with-tls")?.why);
/** The listener knows of a plain connection only once its first byte is there. */
async function plainPair(bench: Bench, first: string): Promise<Pair> {
  const client = new Recorder(await bench.setup.transport.connect({ port: bench.listener.port }));
  client.socket.write(first);
  return { client, server: new Recorder(await bench.accepted()) };
}

describe("nodeTransport with plaintext accepted", () => {
  let ca: TestCa;
  let setup: Setup;
  before(async () => {
    assertRuntime();
    setup = await prepare();
    ca = await makeCa({ name: "another root" });
  });

  it("nodeTransport tells plaintext from TLS, shows no certificate for it, and refuses bad certificates as ever", async () => {
    const bench = await Bench.open(setup);
    try {
      const { server } = await plainPair(bench, "GET / HTTP/1.1\r\n\r\n");
      await server.received(18);
      assert.equal(server.socket.encrypted, false);
      assert.deepEqual(server.socket.peerCertificates, []);
      const secure = await bench.pair();
      assert.equal(secure.server.socket.encrypted, true);
      assert.ok(secure.server.socket.peerCertificates.length > 0);
      const foreign = await makeServiceLeaf(ca, "web");
      const socket = await bench.connect({ tls: { ...setup.connect.tls!, identity: foreign.identity } });
      socket.attach({ data() {}, drain() {}, end: () => socket.end(), close() {} });
      await eventually(() => bench.refusals.length > 0, "the refusal");
      assert.match(bench.refusals[0]!, /not signed by our trust \(127\.0\.0\.1\)/);
      const renewed = await makeServiceLeaf(ca, "orders");
      bench.listener.rotate(renewed.identity, ca.trust);
      await bench.pair({ tls: { identity: foreign.identity, trust: ca.trust, verifyPeer: () => null } });
    } finally {
      await bench.close();
    }
  });

  it("nodeTransport gives plaintext beside TLS in order, half-closed and with backpressure", async () => {
    const bench = await Bench.open(setup);
    try {
      const { client, server } = await plainPair(bench, "a");
      await server.received(1);
      server.socket.pause();
      client.socket.write("b");
      await pause(30);
      assert.equal(server.text, "a");
      server.socket.resume();
      client.socket.write("c");
      client.socket.end();
      await server.ended();
      assert.equal(server.text, "abc");
      server.socket.write("reply");
      server.socket.end();
      await Promise.all([client.closed(), server.closed()]);
      assert.equal(client.text, "reply");
      client.check();
      server.check();

      const stalled = await plainPair(bench, "x");
      await stalled.server.received(1);
      stalled.server.socket.pause();
      stalled.server.keepsChunks = false;
      let written = 1;
      const pump = (): void => {
        while (written < 30_000_000) {
          written += 100_000;
          if (!stalled.client.socket.write(new Uint8Array(100_000))) return;
        }
        stalled.client.socket.end();
      };
      stalled.client.onDrain = pump;
      pump();
      await pause(500);
      assert.ok(written < 20_000_000, `${written} bytes were taken of a writer whose reader is paused`);
      stalled.server.socket.resume();
      await stalled.server.ended();
      assert.equal(stalled.server.bytes, written);
    } finally {
      await bench.close();
    }
  });

  it("nodeTransport closes a client that never says which of the two it speaks", async () => {
    const transport = nodeTransport({ runtime: "test", gaps: {} }, { handshakeTimeoutMs: 200 });
    const bench = await Bench.open({ ...setup, transport });
    try {
      await new Promise<void>((resolve) => {
        const silent = connectNet(bench.listener.port, "127.0.0.1");
        silent.on("error", () => {});
        silent.on("close", () => resolve());
        silent.resume();
      });
      assert.equal(bench.acceptedCount, 0);
    } finally {
      await bench.close();
    }
  });
});
