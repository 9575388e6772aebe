/** Identities that live for seconds, on real TLS sockets: what the renewal of a day looks like, twenty thousand times faster. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import type { Authority } from "../../src/identity/authority.ts";
import { createKeyAndCsr } from "../../src/identity/csr.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";
import { peerVerifier, verifyPeerChain } from "../../src/identity/svid.ts";
import { issuedWorkload, type WorkloadCertificate } from "../../src/identity/workload.ts";
import type { ByteSocket, Listener } from "../../src/runtime/contract.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { makeAuthority } from "./support.ts";

const trustDomain = "mesh.local";
const orders = meshId(trustDomain, "default", "orders");
const web = meshId(trustDomain, "default", "web");
const { transport } = currentRuntime();
const ttlMs = 2_000;
// Bun gives a test five seconds.
const runMs = 4_000;

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("rotation under load", () => {
  let authority: Authority;
  let server: WorkloadCertificate;
  let client: WorkloadCertificate;
  let listener: Listener;
  const refusals: string[] = [];
  const seen = new Set<string>();

  const workload = (id: typeof orders) =>
    issuedWorkload({
      spiffeId: id,
      request: async (csr) => ({
        chainPem: (await authority.issue(csr, id, { ttlMs })).chainPem,
        rootsPem: authority.rootsPem,
      }),
      clock: systemClock,
      random: Math.random,
      events: { certificateFailed: (reason) => refusals.push(reason) },
    });

  before(async () => {
    authority = await makeAuthority();
    [server, client] = await Promise.all([workload(orders), workload(web)]);
    const { identity, trust } = server.current;
    listener = await transport.listen(
      { port: 0, tls: { identity, trust, clientAuth: "required" } },
      (socket) => {
        const peer = verifyPeerChain(socket.peerCertificates, { trustDomain, nowMs: Date.now(), expected: web.text });
        if (typeof peer === "string") {
          refusals.push(peer);
          return socket.destroy();
        }
        seen.add(peer.certificateHash);
        socket.attach({
          data: (chunk) => void socket.write(chunk.slice()),
          drain() {},
          end: () => socket.end(),
          close() {},
        });
      },
      { handshakeRefused: (reason) => refusals.push(reason), error: (error) => refusals.push(error.message) },
    );
    server.onChange((state) => listener.rotate(state.identity, state.trust));
  });

  after(async () => {
    server.close();
    client.close();
    await listener.close();
  });

  function connect(): Promise<ByteSocket> {
    const { identity, trust } = client.current;
    const verifyPeer = peerVerifier(trustDomain, orders.text, () => Date.now());
    return transport.connect({ host: "127.0.0.1", port: listener.port, tls: { identity, trust, verifyPeer } });
  }

  /** Sends `text` and waits for its echo. */
  function echo(socket: ByteSocket, text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let got = "";
      socket.attach({
        data(chunk) {
          got += new TextDecoder().decode(chunk);
          if (got.length >= text.length) resolve(got);
        },
        drain() {},
        end: () => reject(new Error("ended early")),
        close: (error) => reject(error ?? new Error("closed early")),
      });
      socket.write(text);
    });
  }

  it("issuedWorkload() replaces certificates of both sides with no failed connection and no dropped one", async () => {
    const lasting = await connect();
    const endsAtMs = performance.now() + runMs;
    let connections = 0;
    while (performance.now() < endsAtMs) {
      assert.equal(await echo(lasting, `still ${connections}`), `still ${connections}`);
      const socket = await connect();
      assert.equal(await echo(socket, "new"), "new");
      socket.end();
      connections++;
      await wait(10);
    }
    lasting.end();
    assert.deepEqual(refusals, []);
    assert.ok(server.current.generation >= 3, `server at generation ${server.current.generation}`);
    assert.ok(client.current.generation >= 3, `client at generation ${client.current.generation}`);
    assert.ok(seen.size >= 2, `${seen.size} client certificates seen in ${connections} connections`);
  });

  it("a certificate that was not renewed is refused as soon as it has expired, by the other side", async () => {
    const { privateKeyPem, csrPem } = await createKeyAndCsr(web);
    const { chainPem, notAfterMs } = await authority.issue(csrPem, web, { ttlMs: 1_000 });
    const identity = { certificateChainPem: chainPem, privateKeyPem };
    const { trust } = client.current;
    // The last second belongs to the certificate (RFC 5280 §4.1.2.5).
    await wait(notAfterMs - Date.now() + 1_100);
    const before = refusals.length;
    const verifyPeer = peerVerifier(trustDomain, orders.text, () => Date.now());
    // TLS 1.3: the client may finish before it is refused, so the proof is that nothing comes back.
    await assert.rejects(
      transport
        .connect({ host: "127.0.0.1", port: listener.port, tls: { identity, trust, verifyPeer } })
        .then((socket) => echo(socket, "anybody?")),
    );
    for (let i = 0; i < 50 && refusals.length === before; i++) await wait(20);
    assert.ok(refusals.length > before, "the server noticed nothing");
  });
});
