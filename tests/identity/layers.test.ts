import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { MeshError, describeError } from "../../src/errors.ts";
import {
  Exchange,
  type Accepted,
  type ConnectionFacts,
  type Identified,
  type RequestHead,
} from "../../src/exchange.ts";
import { authorize } from "../../src/identity/authorize.ts";
import { identify, identifyLocal, localPeer, nobody } from "../../src/identity/identify.ts";
import type { Authorization } from "../../src/identity/authorization.ts";
import type { Peer } from "../../src/identity/peer.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";

const web: Peer = {
  id: meshId("mesh.local", "default", "web"),
  certificateHash: "ab",
  notAfterMs: Infinity,
  isLocal: false,
};
const self = localPeer(meshId("mesh.local", "default", "orders"), "cd");

function exchange(peer: Peer | null, authorization?: Authorization, encrypted = true): Accepted {
  const connection: ConnectionFacts = {
    remoteAddress: "127.0.0.1",
    localPort: 15006,
    peer,
    encrypted,
    upstream: null,
  };
  const snapshot = { authorization: () => authorization } as Partial<Snapshot> as Snapshot;
  const head = {
    method: "GET",
    target: "/",
    path: "/",
    query: "",
    authority: "orders",
    get: () => null,
    getAll: () => [],
  } as Partial<RequestHead> as RequestHead;
  return new Exchange({
    direction: "inbound",
    request: new Request("http://orders/"),
    head,
    snapshot,
    startedAtMs: 0,
    connection,
  });
}

const passed = async (): Promise<Response> => new Response("passed");

const failsWith = (code: string) => (error: unknown) => {
  assert.ok(error instanceof MeshError, String(error));
  assert.equal(error.code, code);
  return true;
};

describe("identify()", () => {
  it("identify() gives the exchange the peer of its connection", async () => {
    const x = exchange(web);
    let seen: Peer | null = null;
    await identify({ clock: systemClock })(async (identified: Identified) => {
      seen = identified.peer;
      return await passed();
    })(x);
    assert.equal(seen, web);
  });

  it("identify() refuses a connection that proved nothing, and a certificate that has expired since", async () => {
    const handler = identify({ clock: systemClock })(() => assert.fail("was called"));
    await assert.rejects(handler(exchange(null)), failsWith("ERR_PEER_UNIDENTIFIED"));
    const x = exchange({ ...web, notAfterMs: Date.now() - 1 });
    await assert.rejects(handler(x), failsWith("ERR_PEER_UNIDENTIFIED"));
    assert.deepEqual(x.responseEdits.added, ["connection", "close"]);
  });

  it("identify() lets nobody pass where plaintext is allowed, but no encrypted connection that proved nothing", async () => {
    const layer = identify({ clock: systemClock, acceptsUnidentified: true });
    const plain = exchange(null, undefined, false);
    await layer(passed)(plain);
    assert.equal(plain.peer, nobody);
    await assert.rejects(layer(passed)(exchange(null)), failsWith("ERR_PEER_UNIDENTIFIED"));
    const known = exchange(web, undefined, false);
    await layer(passed)(known);
    assert.equal(known.peer, web);
  });

  it("identifyLocal() knows the application beside the sidecar, whatever its certificate is now", async () => {
    const peers = [self, localPeer(self.id, "ef")];
    const handler = identifyLocal({ self: () => peers.shift()! })(
      async (x) => new Response(`${x.peer.certificateHash} ${x.peer.isLocal}`),
    );
    assert.equal(await (await handler(exchange(null))).text(), "cd true");
    assert.equal(await (await handler(exchange(null))).text(), "ef true");
  });
});

describe("authorize()", () => {
  const deciding = (allowed: boolean, policy: string | null): Authorization => ({
    decide: () => ({ allowed, policy }),
  });
  const layer = authorize({ namespace: "default", service: "orders", self: () => self });
  const identified = (authorization: Authorization): Identified =>
    Object.assign(exchange(web, authorization), { peer: web });

  it("authorize() lets pass what the snapshot allows", async () => {
    assert.equal(await (await layer(passed)(identified(deciding(true, null)))).text(), "passed");
  });

  it("authorize() refuses before anything else is asked, and tells the policy to the log only", async () => {
    const handler = layer(() => assert.fail("was called"));
    for (const [policy, text] of [
      ["default/deny-web", "policy default/deny-web denies"],
      [null, "no ALLOW policy matches"],
    ] as const) {
      await assert.rejects(handler(identified(deciding(false, policy))), (error: unknown) => {
        failsWith("ERR_PEER_FORBIDDEN")(error);
        assert.equal((error as MeshError).message, "RBAC: access denied");
        assert.doesNotMatch((error as MeshError).advice!, /deny-web/);
        assert.ok(describeError(error).includes(text), describeError(error));
        return true;
      });
    }
  });

  it("authorize() asks for its own service, with the peer and its own trust domain", async () => {
    const asked: unknown[] = [];
    const x = identified({
      decide(peer, head, home) {
        asked.push(peer, head.path, home);
        return { allowed: true, policy: null };
      },
    });
    await layer(passed)(x);
    assert.deepEqual(asked, [web, "/", "mesh.local"]);
  });
});
