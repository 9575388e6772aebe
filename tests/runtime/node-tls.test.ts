/** What only real TLS can get wrong. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect as connectNet } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { before, describe, it } from "node:test";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { currentRuntime } from "../../src/runtime/current.ts";
import { nodeTransport } from "../../src/runtime/node-transport.ts";
import { makeCa, makeServiceLeaf, type TestCa, type TestLeaf } from "../support/certificates.ts";
import { Bench, eventually, pause, type Setup } from "./_bench.ts";
import { tlsSuite } from "./_tls-suite.ts";
import { assertRuntime } from "./support.ts";

tlsSuite("nodeTransport", () => currentRuntime().transport);

describe("nodeTransport on real TLS", () => {
  let ca: TestCa, server: TestLeaf, client: TestLeaf;
  let setup: Setup;
  before(async () => {
    assertRuntime();
    ca = await makeCa();
    [server, client] = await Promise.all([makeServiceLeaf(ca, "orders"), makeServiceLeaf(ca, "web")]);
    setup = {
      transport: currentRuntime().transport,
      listen: { tls: { identity: server.identity, trust: ca.trust, clientAuth: "required" } },
      connect: { tls: { identity: client.identity, trust: ca.trust, verifyPeer: () => null } },
    };
  });

  const rule = (title: string, body: (bench: Bench) => Promise<void>): void => {
    it(`nodeTransport ${title}`, async () => {
      const bench = await Bench.open(setup);
      try {
        await body(bench);
      } finally {
        await bench.close();
      }
    });
  };

  /** A TLS client that is not ours. */
  const stranger = (bench: Bench, options: ConnectionOptions): TLSSocket => {
    const { certificateChainPem: cert, privateKeyPem: key } = client.identity;
    const socket = connectTls({
      host: "127.0.0.1",
      port: bench.listener.port,
      ca: ca.certificatePem,
      cert,
      key,
      checkServerIdentity: () => undefined,
      ...options,
    });
    socket.on("error", () => {});
    socket.resume();
    return socket;
  };

  rule("speaks TLS 1.3 only", async (bench) => {
    const socket = stranger(bench, { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" });
    await eventually(() => bench.refusals.length > 0, "the refusal");
    assert.match(bench.refusals[0]!, /^TLS version or cipher not offered/);
    socket.destroy();
  });

  rule("never accepts a resumed session", async (bench) => {
    let session: Buffer | undefined;
    const first = stranger(bench, {});
    first.on("session", (ticket: Buffer) => (session = ticket));
    (await bench.accepted()).attach({ data() {}, drain() {}, end() {}, close() {} });
    await pause(100);
    session ??= first.getSession();
    first.destroy();
    if (session === undefined) return;
    const second = stranger(bench, { session });
    await eventually(() => bench.acceptedCount + bench.refusals.length > 0, "a verdict");
    if (bench.acceptedCount > 0) assert.equal(second.isSessionReused(), false, "a full handshake");
    else assert.match(bench.refusals[0]!, /^resumed session/);
    second.destroy();
  });

  rule("survives garbage, odd ClientHellos and clients that hang up", async (bench) => {
    const garbage = [
      Buffer.alloc(0),
      Buffer.from([22]),
      Buffer.from([22, 3, 1, 255, 255, 1]),
      Buffer.alloc(70_000, 22),
      Buffer.from("\x16\x03\x01\x00\x05hello"),
      Buffer.from("SSH-2.0-x\r\n"),
    ];
    for (const bytes of garbage) {
      const socket = connectNet(bench.listener.port, "127.0.0.1", () => socket.end(bytes));
      socket.on("error", () => {});
      socket.resume();
    }
    for (const servername of ["", "a".repeat(250), "nul\0.example", "xn--nxasmq6b", "UPPER.example"]) {
      try {
        const socket = stranger(bench, { servername });
        await pause(20);
        socket.destroy();
      } catch {
        // This runtime's own client refuses to send such a name.
      }
    }
    await pause(100);
    const socket = await bench.connect();
    assert.equal(socket.encrypted, true);
  });

  it("nodeTransport cuts off a client that does not finish its handshake", async () => {
    const transport = nodeTransport({ runtime: "test", gaps: {} }, { handshakeTimeoutMs: 300 });
    const bench = await Bench.open({ ...setup, transport });
    try {
      const silent = connectNet(bench.listener.port, "127.0.0.1");
      silent.on("error", () => {});
      silent.resume();
      const ended = new Promise((resolve) => silent.once("end", resolve));
      await eventually(() => bench.refusals.length > 0, "the refusal");
      assert.match(bench.refusals[0]!, /^handshake timeout \(127\.0\.0\.1\)$/);
      await ended;
      silent.destroy();
    } finally {
      await bench.close();
    }
  });

  it("connect() gives up on a peer that accepts and says nothing", async () => {
    const bench = await Bench.open({ ...setup, listen: {} });
    try {
      const { port } = bench.listener;
      const message = `127.0.0.1:${port}: no TLS handshake within 200 ms`;
      await assert.rejects(bench.connect({ timeoutMs: 200 }), {
        code: "ERR_CONNECT_TIMEOUT",
        sent: "nothing",
        message,
      });
      const abort = new AbortController();
      const connecting = bench.connect({ signal: abort.signal });
      setTimeout(() => abort.abort(), 50);
      await assert.rejects(connecting, {
        code: "ERR_CONNECT_FAILED",
        message: `127.0.0.1:${port}: the attempt was called off`,
      });
    } finally {
      await bench.close();
    }
  });

  it("connect() says when the peer does not speak TLS", async () => {
    const bench = await Bench.open({ ...setup, listen: {} }, (socket) => {
      socket.attach({ data: () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"), drain() {}, end() {}, close() {} });
    });
    try {
      await assert.rejects(bench.connect(), { code: "ERR_CONNECT_FAILED", message: /the peer does not speak TLS$/ });
    } finally {
      await bench.close();
    }
  });

  it("a runtime that cannot stop a TLS peer holds what arrives up to a cap, in order, and then gives up", async () => {
    const transport = nodeTransport(
      { runtime: "test", gaps: {} },
      { tlsReadControl: () => null, maxHeldBytes: 1_000_000 },
    );
    const bench = await Bench.open({ ...setup, transport });
    try {
      const { client, server } = await bench.pair();
      server.socket.pause();
      client.socket.write("first ");
      await pause(30);
      client.socket.write("second");
      client.socket.end();
      await pause(60);
      assert.equal(server.bytes, 0);
      assert.equal(server.ends, 0);
      server.socket.resume();
      await server.ended();
      assert.equal(server.text, "first second");

      const flood = await bench.pair();
      flood.server.socket.pause();
      flood.client.socket.write(new Uint8Array(3_000_000));
      await flood.server.closed();
      assert.equal(flood.server.bytes, 0);
      assert.match(String(flood.server.error?.message), /more than 1000000 bytes arrived while the reader was paused/);
      flood.server.check();
    } finally {
      await bench.close();
    }
  });

  it("listen() and rotate() refuse material that is none, and what worked goes on", async () => {
    const { transport } = currentRuntime();
    const { trust } = ca;
    const broken = {
      certificateChainPem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      privateKeyPem: "no key",
    };
    const listening = transport.listen({ tls: { identity: broken, trust, clientAuth: "none" } }, () => {});
    await assert.rejects(listening, { code: "ERR_OPTION_INVALID", message: /^certificate or key is not usable: / });
    const bench = await Bench.open(setup);
    try {
      assert.throws(() => bench.listener.rotate(broken, trust), { code: "ERR_OPTION_INVALID" });
      const mixed = { ...server.identity, privateKeyPem: client.privateKeyPem };
      assert.throws(() => bench.listener.rotate(mixed, trust), { code: "ERR_OPTION_INVALID" });
      await bench.pair();
      await assert.rejects(bench.connect({ tls: { ...setup.connect.tls!, identity: broken } }), {
        code: "ERR_OPTION_INVALID",
      });
    } finally {
      await bench.close();
    }
  });

  it("no environment variable opens us: NODE_TLS_REJECT_UNAUTHORIZED, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE, DENO_CERT", async () => {
    const foreignCa = await makeCa({ name: "another root" });
    const foreign = await makeServiceLeaf(foreignCa, "orders");
    const folder = mkdtempSync(join(tmpdir(), "fetchmesh-"));
    const foreignRoot = join(folder, "foreign.pem");
    writeFileSync(foreignRoot, foreignCa.certificatePem);
    const program = join(import.meta.dirname, "_environment.ts");
    const args = currentRuntime().name === "deno" ? ["run", "-A", "--no-check", program] : [program];
    const env = {
      ...process.env,
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
      NODE_EXTRA_CA_CERTS: foreignRoot,
      SSL_CERT_FILE: foreignRoot,
      DENO_CERT: foreignRoot,
      DENO_TLS_CA_STORE: "system,mozilla",
      MATERIAL: JSON.stringify({
        ours: ca.trust,
        server: server.identity,
        foreign: foreign.identity,
        foreignTrust: foreignCa.trust,
      }),
    };
    const { stdout } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
    assert.deepEqual(JSON.parse(stdout), {
      client: "ERR_UPSTREAM_IDENTITY",
      server: "certificate not signed by our trust",
    });
  });
});
