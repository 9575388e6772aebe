/** The TLS half of the contract: who is let in, who is refused and with which reason, and what rotation changes. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import type { ConnectTls, ListenTls, SocketTransport } from "../../src/runtime/contract.ts";
import { makeCa, makeLeaf, makeServiceLeaf, spiffeIdOf, type TestCa, type TestLeaf } from "../support/certificates.ts";
import { Bench, eventually, pause } from "./_bench.ts";
import { Recorder } from "./_recorder.ts";
import { assertRuntime, gapOf } from "./support.ts";

const HOUR_MS = 3_600_000;
const ago = (ms: number): Date => new Date(Date.now() - ms);
const ahead = (ms: number): Date => new Date(Date.now() + ms);

interface Cast {
  readonly ca: TestCa;
  readonly otherCa: TestCa;
  readonly server: TestLeaf;
  readonly client: TestLeaf;
  readonly viaIntermediate: TestLeaf;
}

export function tlsSuite(name: string, transport: () => SocketTransport): void {
  describe(`${name} TLS`, () => {
    let cast: Cast;
    before(async () => {
      assertRuntime();
      const [ca, otherCa] = await Promise.all([makeCa(), makeCa({ name: "another root" })]);
      const intermediate = await makeCa({ name: "test intermediate", parent: ca });
      const [server, client, viaIntermediate] = await Promise.all([
        makeServiceLeaf(ca, "orders"),
        makeServiceLeaf(ca, "web"),
        makeServiceLeaf(intermediate, "web"),
      ]);
      cast = { ca, otherCa, server, client, viaIntermediate };
    });

    const good = (): ConnectTls => ({ identity: cast.client.identity, trust: cast.ca.trust, verifyPeer: () => null });

    /** A case against a listener that wants client certificates, unless `listen` says otherwise. */
    const rule = (
      title: string,
      body: (bench: Bench) => Promise<void>,
      listen: Partial<ListenTls> | (() => Promise<Partial<ListenTls>>) = {},
    ): void => {
      it(`${name} ${title}`, async () => {
        const { server, ca } = cast;
        const overrides = typeof listen === "function" ? await listen() : listen;
        const tls: ListenTls = { identity: server.identity, trust: ca.trust, clientAuth: "required", ...overrides };
        const bench = await Bench.open({ transport: transport(), listen: { tls }, connect: { tls: good() } });
        try {
          await body(bench);
        } finally {
          await bench.close();
        }
      });
    };

    /** Refused by the server: TLS 1.3 lets a client believe in success for a moment, so both ways of noticing are fine. */
    const assertRefused = async (bench: Bench, tls: ConnectTls | undefined, reason: RegExp): Promise<void> => {
      const { port } = bench.listener;
      const refusalsBefore = bench.refusals.length;
      const startedMs = performance.now();
      const socket = await bench.setup.transport
        .connect({ port, ...(tls !== undefined && { tls }) })
        .catch((error: unknown) => assert.equal(MeshError.from(error).code, "ERR_CONNECT_FAILED"));
      if (socket !== undefined) {
        const client = new Recorder(socket);
        client.socket.write("GET /secret HTTP/1.1\r\nHost: orders\r\n\r\n");
        await client.until(() => client.closes + client.ends > 0, "the refusal");
        client.socket.destroy();
        await client.closed();
        // Nothing but a TLS alert may come back (2 bytes of it in a record of 7).
        assert.ok(client.bytes <= 7, `${client.bytes} bytes came back`);
      }
      await eventually(() => bench.refusals.length > refusalsBefore, "the server's reason");
      assert.ok(performance.now() - startedMs < 4_000, "refused fast");
      assert.match(bench.refusals[refusalsBefore]!, reason);
      assert.match(bench.refusals[refusalsBefore]!, /\(127\.0\.0\.1\)$/);
      assert.equal(bench.acceptedCount, 0, "no socket was handed over");
    };

    const assertNoUpstream = async (bench: Bench, tls: ConnectTls, reason: RegExp): Promise<void> => {
      await assert.rejects(bench.setup.transport.connect({ port: bench.listener.port, tls }), (error: unknown) => {
        assert.ok(error instanceof MeshError);
        assert.equal(error.code, "ERR_UPSTREAM_IDENTITY");
        assert.equal(error.sent, "nothing");
        assert.match(error.message, new RegExp(`^127\\.0\\.0\\.1:${bench.listener.port}: `));
        assert.match(error.message, reason);
        return true;
      });
    };

    rule("both sides see the other's chain, leaf first, byte for byte", async (bench) => {
      const seen: (readonly Uint8Array[])[] = [];
      const tls: ConnectTls = {
        ...good(),
        identity: cast.viaIntermediate.identity,
        verifyPeer: (chain) => {
          seen.push(chain);
          return null;
        },
      };
      const { client, server } = await bench.pair({ tls });
      assert.ok(Buffer.from(client.socket.peerCertificates[0]!).equals(cast.server.der));
      assert.ok(Buffer.from(seen[0]![0]!).equals(cast.server.der));
      assert.ok(Buffer.from(server.socket.peerCertificates[0]!).equals(cast.viaIntermediate.der));
      assert.ok(server.socket.peerCertificates.length >= 2, "with the intermediate");
      assert.equal(client.socket.encrypted && server.socket.encrypted, true);
    });

    rule(
      "ALPN is agreed, and null where nobody asked",
      async (bench) => {
        const both = await bench.pair({ tls: { ...good(), alpn: ["http/1.1"] } });
        assert.equal(both.client.socket.alpn, "http/1.1");
        assert.equal(both.server.socket.alpn, "http/1.1");
        const none = await bench.pair();
        assert.equal(none.client.socket.alpn, null);
        assert.equal(none.server.socket.alpn, null);
        await assert.rejects(bench.connect({ tls: { ...good(), alpn: ["spdy/3"] } }), { code: "ERR_CONNECT_FAILED" });
        await eventually(() => bench.refusals.length > 0, "the reason");
        assert.match(bench.refusals[0]!, /no common ALPN protocol/);
      },
      { alpn: ["h2", "http/1.1"] },
    );

    rule("a client without a certificate is refused", (bench) => {
      const { trust } = cast.ca;
      return assertRefused(bench, { trust, verifyPeer: () => null }, /^no client certificate/);
    });

    rule("a client of a foreign CA is refused", async (bench) => {
      const foreign = await makeServiceLeaf(cast.otherCa, "web");
      await assertRefused(bench, { ...good(), identity: foreign.identity }, /^certificate not signed by our trust/);
    });

    rule("a client of a foreign CA that calls itself like ours is refused", async (bench) => {
      const impostor = await makeServiceLeaf(await makeCa(), "web");
      await assertRefused(bench, { ...good(), identity: impostor.identity }, /^certificate/);
    });

    rule("an expired and a not yet valid client are refused", async (bench) => {
      const expired = await makeServiceLeaf(cast.ca, "web", { notBefore: ago(2 * HOUR_MS), notAfter: ago(HOUR_MS) });
      const future = await makeServiceLeaf(cast.ca, "web", { notBefore: ahead(HOUR_MS), notAfter: ahead(2 * HOUR_MS) });
      const precise = gapOf("certificate-reason") === undefined;
      await assertRefused(
        bench,
        { ...good(), identity: expired.identity },
        precise ? /^certificate expired/ : /^certificate/,
      );
      await assertRefused(
        bench,
        { ...good(), identity: future.identity },
        precise ? /^certificate not yet valid/ : /^certificate/,
      );
    });

    rule("a client whose certificate a mere leaf issued is refused", async (bench) => {
      const { certificate, keys, certificatePem, der, privateKeyPem, identity } = cast.client;
      const leafAsCa: TestCa = {
        ...cast.ca,
        certificate,
        keys,
        certificatePem,
        der,
        privateKeyPem,
        intermediatesPem: [identity.certificateChainPem],
      };
      const issued = await makeServiceLeaf(leafAsCa, "web");
      await assertRefused(bench, { ...good(), identity: issued.identity }, /^certificate/);
    });

    rule("a plaintext client is refused fast", (bench) => assertRefused(bench, undefined, /^plaintext/));

    rule(
      "a server known only by a URI is accepted by verifyPeer(), and by its name only where it has one",
      async (bench) => {
        await bench.pair();
        const { trust } = cast.ca;
        await assertNoUpstream(bench, { identity: cast.client.identity, trust }, /another name/);
        await assertNoUpstream(bench, { identity: cast.client.identity, trust, serverName: "orders" }, /another name/);
        const named = await makeLeaf(cast.ca, { dns: "orders.default", uri: spiffeIdOf("orders") });
        bench.listener.rotate(named.identity, trust);
        await bench.pair({ tls: { identity: cast.client.identity, trust, serverName: "orders.default" } });
      },
    );

    rule("verifyPeer() that refuses leaves no connection", async (bench) => {
      await assertNoUpstream(
        bench,
        { ...good(), verifyPeer: () => "is not spiffe://mesh.local/ns/default/sa/orders" },
        /is not spiffe/,
      );
      const broken: ConnectTls = {
        ...good(),
        verifyPeer: () => {
          throw new Error("a bug of the check");
        },
      };
      await assertNoUpstream(bench, broken, /could not be checked/);
      await pause(30);
      // TLS 1.3: the server may have finished before the client looked; then its socket ends without a byte.
      while (bench.acceptedCount > 0) {
        const server = new Recorder(await bench.accepted());
        await server.until(() => server.closes + server.ends > 0, "the end");
        assert.equal(server.bytes, 0);
      }
    });

    rule(
      "a server of a foreign CA is refused although verifyPeer() would take it",
      (bench) => assertNoUpstream(bench, good(), /not signed by our trust/),
      async () => ({ identity: (await makeServiceLeaf(cast.otherCa, "orders")).identity }),
    );

    rule(
      "an expired server is refused although verifyPeer() would take it",
      (bench) => assertNoUpstream(bench, good(), gapOf("certificate-reason") === undefined ? /expired/ : /certificate/),
      async () => {
        const options = { notBefore: ago(2 * HOUR_MS), notAfter: ago(HOUR_MS) };
        return { identity: (await makeServiceLeaf(cast.ca, "orders", options)).identity };
      },
    );

    rule(
      "clientAuth requested: none is fine, one of ours is shown, any other is refused",
      async (bench) => {
        const { trust } = cast.ca;
        const anonymous = await bench.pair({ tls: { trust, verifyPeer: () => null } });
        assert.deepEqual(anonymous.server.socket.peerCertificates, []);
        const known = await bench.pair();
        assert.ok(Buffer.from(known.server.socket.peerCertificates[0]!).equals(cast.client.der));
        const foreign = await makeServiceLeaf(cast.otherCa, "web");
        await assertRefused(bench, { ...good(), identity: foreign.identity }, /^certificate not signed by our trust/);
      },
      { clientAuth: "requested" },
    );

    rule(
      "clientAuth none: nobody is asked and nobody is shown",
      async (bench) => {
        const { server } = await bench.pair();
        assert.deepEqual(server.socket.peerCertificates, []);
      },
      { clientAuth: "none" },
    );

    rule("rotate() shows the new certificate to new connections and keeps the old ones", async (bench) => {
      const old = await bench.pair();
      const renewed = await makeServiceLeaf(cast.ca, "orders");
      bench.listener.rotate(renewed.identity, cast.ca.trust);
      const young = await bench.pair();
      assert.ok(Buffer.from(young.client.socket.peerCertificates[0]!).equals(renewed.der));
      old.server.onData = (chunk) => void old.server.socket.write(chunk.slice());
      old.client.socket.write("still here");
      await old.client.received(10);
      assert.ok(Buffer.from(old.client.socket.peerCertificates[0]!).equals(cast.server.der));
    });

    rule("rotate() to another trust admits its clients and refuses those of before", async (bench) => {
      const { otherCa } = cast;
      const [server, client] = await Promise.all([makeServiceLeaf(otherCa, "orders"), makeServiceLeaf(otherCa, "web")]);
      bench.listener.rotate(server.identity, otherCa.trust);
      await bench.pair({ tls: { ...good(), identity: client.identity, trust: otherCa.trust } });
      await assertRefused(bench, { ...good(), trust: otherCa.trust }, /^certificate not signed by our trust/);
      // Root overlap: both are believed while a root is being replaced.
      bench.listener.rotate(server.identity, { rootsPem: [...otherCa.trust.rootsPem, ...cast.ca.trust.rootsPem] });
      await bench.pair({ tls: { ...good(), trust: otherCa.trust } });
      await bench.pair({ tls: { ...good(), identity: client.identity, trust: otherCa.trust } });
    });

    rule("connections opened while rotating all succeed", async (bench) => {
      const progress = { isDone: false };
      const rotating = (async () => {
        for (let i = 0; i < 10; i++) {
          const renewed = await makeServiceLeaf(cast.ca, "orders");
          bench.listener.rotate(renewed.identity, cast.ca.trust);
        }
        progress.isDone = true;
      })();
      while (!progress.isDone) {
        const { client, server } = await bench.pair();
        server.onData = (chunk) => void server.socket.write(chunk.slice());
        client.socket.write("x");
        await client.received(1);
      }
      await rotating;
    });
  });
}
