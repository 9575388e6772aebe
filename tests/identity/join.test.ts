import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { MeshError } from "../../src/errors.ts";
import { handleJoin, handleRenew, type AdmissionDeps } from "../../src/identity/admission.ts";
import type { Authority } from "../../src/identity/authority.ts";
import { createKeyAndCsr } from "../../src/identity/csr.ts";
import { joinMesh, renewCertificate } from "../../src/identity/join.ts";
import { controlId, meshId, type SpiffeId } from "../../src/identity/spiffe-id.ts";
import { verifyPeerChain } from "../../src/identity/svid.ts";
import { openTokenLedger } from "../../src/identity/token-ledger.ts";
import { createJoinToken } from "../../src/identity/token.ts";
import { callControl } from "./call-control.ts";
import { certificateDer, makeAuthority, serverIdentity } from "./support.ts";

const orders = meshId("mesh.local", "default", "orders");

/** A control plane reduced to joining: real TLS, real HTTP, real CA. */
interface Control {
  readonly url: string;
  readonly authority: Authority;
  readonly paths: string[];
  readonly server: Server;
}

async function startControl(
  authority: Authority,
  self: SpiffeId = controlId(authority.trustDomain),
  root = authority.rootsPem.join(""),
): Promise<Control> {
  const identity = await serverIdentity(authority, self);
  const deps: AdmissionDeps = {
    authority,
    ledger: await openTokenLedger({ clock: systemClock }),
    clock: systemClock,
    certTtlMs: 60_000,
  };
  const paths: string[] = [];
  const server = createServer(
    {
      cert: identity.certificateChainPem,
      key: identity.privateKeyPem,
      ca: [...authority.rootsPem],
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      paths.push(request.url ?? "");
      const chunks: Uint8Array[] = [];
      request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      request.on("end", () => {
        const body = Buffer.concat(chunks).toString();
        const answer = async (): Promise<string> => {
          if (request.url === "/v1/root") return root;
          if (request.url === "/v1/join") return JSON.stringify(await handleJoin(JSON.parse(body), deps));
          // Bun's node:https shows no client certificate; the real control plane listens on sockets that do.
          const peer = { id: orders, certificateHash: "", notAfterMs: Infinity, isLocal: false };
          return JSON.stringify(await handleRenew(peer, JSON.parse(body), deps));
        };
        answer().then(
          (text) => response.end(text),
          (error: unknown) => {
            const { status, message, advice } = MeshError.from(error);
            response
              .writeHead(status, { "content-type": "application/problem+json" })
              .end(JSON.stringify({ status, detail: message, advice }));
          },
        );
      });
    },
  );
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, authority, paths, server };
}

async function tokenFor(control: Control, id: SpiffeId = orders, ttlMs = 60_000): Promise<string> {
  const { authority, url } = control;
  return await createJoinToken(authority.tokenKey, {
    mesh: authority.mesh,
    spiffeId: id,
    rootFingerprint: authority.rootFingerprint,
    control: url,
    ttlMs,
    nowMs: Date.now(),
  });
}

async function join(token: string, control: string | null = null, id: SpiffeId = orders) {
  const { privateKeyPem, csrPem } = await createKeyAndCsr(id);
  const admission = await joinMesh({ token, control, spiffeId: id, csrPem, call: callControl, clock: systemClock });
  return { ...admission, privateKeyPem };
}

const refusedWith = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MeshError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, text);
  return true;
};

describe("join", () => {
  let control: Control;
  let foreign: Control;
  const started: Control[] = [];
  const start = async (...args: Parameters<typeof startControl>): Promise<Control> => {
    const one = await startControl(...args);
    started.push(one);
    return one;
  };

  before(async () => {
    control = await start(await makeAuthority());
    foreign = await start(await makeAuthority());
  });
  after(() => {
    for (const { server } of started) {
      server.close();
      server.closeAllConnections();
    }
  });

  it("joinMesh() exchanges a token for a certificate of the identity in it, and renews it", async () => {
    const { chainPem, rootsPem, privateKeyPem, control: url } = await join(await tokenFor(control));
    assert.deepEqual(rootsPem, control.authority.rootsPem);
    const { csrPem } = await createKeyAndCsr(orders);
    const renewed = await renewCertificate({
      control: url,
      spiffeId: orders,
      csrPem,
      call: callControl,
      clock: systemClock,
      identity: { certificateChainPem: chainPem, privateKeyPem },
      trust: { rootsPem },
    });
    assert.notEqual(renewed.chainPem, chainPem);
  });

  it("handleJoin() refuses a token that was used before", async () => {
    const token = await tokenFor(control);
    await join(token);
    await assert.rejects(join(token), refusedWith("ERR_TOKEN_REFUSED", /was used before/));
  });

  it("handleJoin() gives one certificate to a hundred joins at once with one token", async () => {
    const token = await tokenFor(control);
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, async () => {
        const { csrPem } = await createKeyAndCsr(orders);
        return await handleJoinAt(control, { token, csr: csrPem });
      }),
    );
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  });

  it("joinMesh() does not show a token for one service to anybody when another joins with it", async () => {
    const seen = control.paths.length;
    const token = await tokenFor(control);
    const billing = meshId("mesh.local", "default", "billing");
    await assert.rejects(
      join(token, null, billing),
      refusedWith("ERR_TOKEN_REFUSED", /is for spiffe:.*orders, not for .*billing/),
    );
    assert.equal(control.paths.length, seen);
    await join(token);
  });

  it("handleJoin() refuses a request that asks for more than the token proves, and leaves the token good", async () => {
    const token = await tokenFor(control);
    const { csrPem } = await createKeyAndCsr(meshId("mesh.local", "x", "root"));
    await assert.rejects(
      handleJoinAt(control, { token, csr: csrPem }),
      refusedWith("ERR_CSR_DENIED", /asks for .*\/x\/sa\/root, but only .*orders was proved/),
    );
    await join(token);
  });

  it("joinMesh() does not send the token to a control plane with another root", async () => {
    const seen = foreign.paths.length;
    await assert.rejects(
      join(await tokenFor(control), foreign.url),
      refusedWith("ERR_UPSTREAM_IDENTITY", /does not have the root certificate/),
    );
    assert.deepEqual(foreign.paths.slice(seen), ["/v1/root"]);
  });

  it("joinMesh() does not send the token to an impostor that shows the right root but has no certificate of it", async () => {
    const impostor = await start(await makeAuthority(), undefined, control.authority.rootsPem.join(""));
    await assert.rejects(
      join(await tokenFor(control), impostor.url),
      refusedWith("ERR_CONNECT_FAILED", /cannot be reached/),
    );
    assert.deepEqual(impostor.paths, ["/v1/root"]);
  });

  it("joinMesh() does not send the token to another workload of the same mesh", async () => {
    const workload = await start(control.authority, meshId("mesh.local", "default", "evil"));
    await assert.rejects(
      join(await tokenFor(control), workload.url),
      refusedWith("ERR_UPSTREAM_IDENTITY", /peer is .*evil, expected .*control/),
    );
    assert.deepEqual(workload.paths, ["/v1/root"]);
  });

  it("joinMesh() says who is unreachable", async () => {
    await assert.rejects(
      join(await tokenFor(control), "https://127.0.0.1:1"),
      refusedWith("ERR_CONNECT_FAILED", /127\.0\.0\.1:1 cannot be reached/),
    );
  });

  it("joinMesh() takes nothing but https", async () => {
    await assert.rejects(
      join(await tokenFor(control), "http://127.0.0.1:1"),
      refusedWith("ERR_OPTION_INVALID", /not the address of a control plane/),
    );
  });

  it("handleRenew() refuses a connection without a valid certificate", async () => {
    const { csrPem } = await createKeyAndCsr(orders);
    const deps = await depsOf(control);
    await assert.rejects(
      handleRenew(null, { csr: csrPem }, deps),
      refusedWith("ERR_PEER_UNIDENTIFIED", /valid certificate/),
    );
    const expired = { id: orders, certificateHash: "", notAfterMs: Date.now() - 1, isLocal: false };
    await assert.rejects(
      handleRenew(expired, { csr: csrPem }, deps),
      refusedWith("ERR_PEER_UNIDENTIFIED", /valid certificate/),
    );
  });

  it("handleJoin() names what is missing in a body", async () => {
    for (const body of [null, 1, "x", [], {}, { token: 1 }]) {
      await assert.rejects(handleJoinAt(control, body), refusedWith("ERR_REQUEST_MALFORMED", /no text "token"/));
    }
  });

  it("what handleJoin() issues passes verifyPeerChain()", async () => {
    const { chainPem } = await join(await tokenFor(control));
    const peer = verifyPeerChain(certificateDer(chainPem), {
      trustDomain: "mesh.local",
      nowMs: Date.now(),
      expected: orders.text,
    });
    assert.equal(typeof peer === "string" ? peer : peer.id.text, orders.text);
  });

  const ledgers = new Map<Control, AdmissionDeps>();
  async function depsOf(one: Control): Promise<AdmissionDeps> {
    const known = ledgers.get(one);
    if (known !== undefined) return known;
    const deps = {
      authority: one.authority,
      ledger: await openTokenLedger({ clock: systemClock }),
      clock: systemClock,
      certTtlMs: 60_000,
    };
    if (!ledgers.has(one)) ledgers.set(one, deps);
    return ledgers.get(one)!;
  }
  async function handleJoinAt(one: Control, body: unknown) {
    return await handleJoin(body, await depsOf(one));
  }
});
