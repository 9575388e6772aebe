import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { createControlApi, type ControlApi } from "../../src/control/api.ts";
import type { Publisher } from "../../src/control/publish.ts";
import { generateConfigKey, signSnapshot, verifySnapshot } from "../../src/control/signature.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import type { InstanceRecord } from "../../src/control/store.ts";
import { initAuthority, openAuthority, type Authority } from "../../src/identity/authority.ts";
import { createKeyAndCsr } from "../../src/identity/csr.ts";
import type { Peer } from "../../src/identity/peer.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";
import { openTokenLedger } from "../../src/identity/token-ledger.ts";
import { readJoinToken } from "../../src/identity/token.ts";
import { record } from "./_store-suite.ts";

const operatorToken = "0123456789abcdef0123456789abcdef";
const route = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec:
  parentRefs: [{kind: Service, name: orders}]
  rules: [{backendRefs: [{name: orders}]}]
`;

interface Fixture {
  readonly api: ControlApi;
  readonly publisher: Publisher;
  readonly authority: Authority;
  call(
    method: string,
    path: string,
    options?: { body?: unknown; peer?: Peer | null; token?: string | null; headers?: Record<string, string> },
  ): Promise<Response>;
}

const peerOf = (service: string, notAfterMs = Infinity): Peer => ({
  id: meshId("mesh.local", "default", service),
  certificateHash: "",
  notAfterMs,
  isLocal: false,
});

async function fixture(): Promise<Fixture> {
  const clock = systemClock;
  const options = { trustDomain: "mesh.local", mesh: "default", clock };
  const authority = await openAuthority({ ...options, material: await initAuthority(options) });
  const key = await generateConfigKey();
  const publisher: Publisher = {
    store: memoryStore(clock),
    mesh: "default",
    clock,
    sign: (text) => signSnapshot(text, key),
    open: (body) => verifySnapshot(body, key.publicKey),
  };
  const ledger = await openTokenLedger({ clock });
  const api = createControlApi({
    publisher,
    authority,
    ledger,
    operatorToken,
    trustDomain: "mesh.local",
    certTtlMs: 60_000,
    clock,
    configKey: key.publicJwk,
    address: () => "https://127.0.0.1:15010",
    stopping: new AbortController().signal,
  });
  return {
    api,
    publisher,
    authority,
    call(method, path, { body, peer = null, token = null, headers = {} } = {}) {
      const init: RequestInit = {
        method,
        headers: { ...headers, ...(token !== null && { authorization: `Bearer ${token}` }) },
      };
      if (body !== undefined) init.body = typeof body === "string" ? body : JSON.stringify(body);
      return api(new Request(`https://127.0.0.1:15010${path}`, init), peer);
    },
  };
}

describe("control API", () => {
  let f: Fixture;
  // The mesh's own timers keep no process alive, and in this test there is nothing else that would.
  const alive = setInterval(() => {}, 1_000);
  before(async () => {
    f = await fixture();
  });
  after(() => clearInterval(alive));

  it("answers anonymous callers of anything but the root and the way in with 401 and what to do (L30)", async () => {
    const paths = [
      "GET /v1/snapshot",
      "GET /v1/snapshot/1",
      "GET /v1/pointer",
      "GET /v1/events",
      "GET /v1/instances",
      "PUT /v1/instances/a",
      "DELETE /v1/instances/a",
      "GET /v1/breakers",
      "POST /v1/breakers/override",
      "POST /v1/breakers/reset",
      "POST /v1/apply",
      "POST /v1/validate",
      "POST /v1/delete",
      "POST /v1/diff",
      "POST /v1/rollback",
      "POST /v1/publish",
      "GET /v1/resources",
      "GET /v1/history",
      "GET /v1/status",
      "POST /v1/tokens",
      "POST /v1/renew",
      "GET /",
      "GET /v1/none",
    ];
    for (const each of paths) {
      const [method, path] = each.split(" ") as [string, string];
      const response = await f.call(method, path, method === "POST" || method === "PUT" ? { body: {} } : {});
      assert.equal(response.status, 401, each);
      assert.equal(response.headers.get("content-type"), "application/problem+json", each);
      const problem = (await response.json()) as { advice: string; code: string };
      assert.equal(problem.code, "ERR_PEER_UNIDENTIFIED", each);
      assert.ok(problem.advice.length > 0, each);
    }
    const root = await f.call("GET", "/v1/root");
    assert.equal(root.status, 200);
    assert.match(await root.text(), /BEGIN CERTIFICATE/);
  });

  it("takes no token but the right one, and does not fall back to the peer", async () => {
    for (const authorization of [
      `Bearer ${operatorToken}x`,
      `bearer ${operatorToken}`,
      `Basic ${operatorToken}`,
      `Bearer  ${operatorToken}`,
      `Bearer ${operatorToken}, Bearer ${operatorToken}`,
      "Bearer a.b.c.d.e.f.g.h.i",
    ]) {
      const response = await f.call("GET", "/v1/pointer", { headers: { authorization }, peer: peerOf("orders") });
      assert.equal(response.status, 401, authorization);
    }
  });

  it("lets peers read and not publish, and nobody with an expired certificate", async () => {
    assert.equal((await f.call("GET", "/v1/pointer", { peer: peerOf("orders") })).status, 200);
    assert.equal(
      (await f.call("POST", "/v1/apply", { peer: peerOf("orders"), body: { sources: [{ file: "-", text: route }] } }))
        .status,
      403,
    );
    assert.equal((await f.call("GET", "/v1/pointer", { peer: peerOf("orders", Date.now() - 1) })).status, 401);
    const foreign: Peer = { ...peerOf("orders"), id: meshId("other.domain", "default", "orders") };
    assert.equal((await f.call("GET", "/v1/pointer", { peer: foreign })).status, 401);
  });

  it("registers an instance only for its own identity", async () => {
    const put = (record: InstanceRecord, peer: Peer): Promise<Response> =>
      f.call("PUT", `/v1/instances/${record.id}`, { peer, body: { record, ttlMs: 15_000 } });
    assert.equal((await put(record("orders-1"), peerOf("orders"))).status, 204);
    assert.equal((await put(record("orders-1"), peerOf("web"))).status, 403);
    assert.equal(
      (await put(record("orders-1", { service: "web" }), peerOf("web"))).status,
      403,
      "an id that another service holds",
    );
    assert.equal(
      (await put(record("orders-2", { spiffeId: "spiffe://mesh.local/ns/default/sa/web" }), peerOf("orders"))).status,
      403,
    );
    assert.equal((await put(record("orders-3", { address: "nowhere" }), peerOf("orders"))).status, 400);
    const listed = (await (await f.call("GET", "/v1/instances", { peer: peerOf("web") })).json()) as {
      instances: InstanceRecord[];
    };
    assert.deepEqual(
      listed.instances.map(({ id }) => id),
      ["orders-1"],
    );
  });

  it("deregisters nothing that is no id: it becomes a file's name in some stores", async () => {
    const asked: string[] = [];
    const { registry } = f.publisher.store;
    const original = registry.deregister;
    registry.deregister = async (id: string) => void asked.push(id);
    try {
      for (const id of ["..%2F..%2Fca%2Fconfig.key", "..%2Fx", "%2e%2e%2Fx", "a%00b", "a%0Ab", "a".repeat(200)]) {
        const path = `/v1/instances/${id}?service=web&namespace=default`;
        assert.equal((await f.call("DELETE", path, { peer: peerOf("web") })).status, 400, id);
      }
      assert.deepEqual(asked, []);
    } finally {
      registry.deregister = original;
    }
  });

  it("applies, serves by ETag, shows, rolls back and deletes", async () => {
    const operator = { token: operatorToken };
    const applied = await f.call("POST", "/v1/apply", {
      ...operator,
      body: { sources: [{ file: "mesh.yaml", text: route }], message: "first" },
    });
    assert.equal(applied.status, 200, await applied.clone().text());
    const { version, changes } = (await applied.json()) as { version: number; changes: unknown[] };
    assert.equal(version, 1);
    assert.deepEqual(changes, [{ action: "created", kind: "HTTPRoute", namespace: "default", name: "orders" }]);

    const snapshot = await f.call("GET", "/v1/snapshot", { peer: peerOf("web") });
    const etag = snapshot.headers.get("etag")!;
    const body = (await snapshot.json()) as { epoch: string; version: number };
    assert.equal(etag, `"${body.epoch}.${body.version}"`);
    assert.equal(
      (await f.call("GET", "/v1/snapshot", { peer: peerOf("web"), headers: { "if-none-match": etag } })).status,
      304,
    );

    const resources = (await (await f.call("GET", "/v1/resources?kind=httproute", operator)).json()) as {
      version: number;
      resources: { kind: string }[];
    };
    assert.deepEqual(
      resources.resources.map(({ kind }) => kind),
      ["HTTPRoute"],
    );
    const diff = (await (
      await f.call("POST", "/v1/diff", {
        ...operator,
        body: { sources: [{ file: "-", text: route.replace("name: orders}\nspec", "name: second}\nspec") }] },
      })
    ).json()) as { changes: { action: string }[] };
    assert.deepEqual(
      diff.changes.map(({ action }) => action),
      ["created"],
    );

    const bad = await f.call("POST", "/v1/apply", {
      ...operator,
      body: { sources: [{ file: "mesh.yaml", text: route.replace("rules", "ruels") }] },
    });
    assert.equal(bad.status, 422);
    const problems = (
      (await bad.json()) as { problems: { code: string; line: number; column: number; suggestion: string }[] }
    ).problems;
    assert.deepEqual(
      problems.map(({ code, line, column, suggestion }) => [code, line, column, suggestion]),
      [["FM0101", 6, 3, "did you mean rules?"]],
    );

    const conflict = await f.call("POST", "/v1/apply", {
      ...operator,
      body: { sources: [{ file: "-", text: route }], expectVersion: 9 },
    });
    assert.equal(conflict.status, 409);
    const deleted = (await (
      await f.call("POST", "/v1/delete", { ...operator, body: { kind: "HTTPRoute", name: "orders" } })
    ).json()) as { version: number };
    assert.equal(deleted.version, 2);
    assert.equal(
      (await f.call("POST", "/v1/delete", { ...operator, body: { kind: "HTTPRoute", name: "orders" } })).status,
      404,
    );
    const back = (await (await f.call("POST", "/v1/rollback", { ...operator, body: { version: 1 } })).json()) as {
      version: number;
    };
    assert.equal(back.version, 3);
    const { versions } = (await (await f.call("GET", "/v1/history", operator)).json()) as {
      versions: { version: number; message: string }[];
    };
    assert.deepEqual(
      versions.map(({ version: each }) => each),
      [3, 2, 1],
    );
    assert.equal(versions[2]!.message, "first");
    const status = (await (await f.call("GET", "/v1/status", operator)).json()) as {
      version: number;
      sidecars: { instance: string; state: string }[];
    };
    assert.equal(status.version, 3);
    assert.deepEqual(
      status.sidecars.map(({ instance: each, state }) => `${each} ${state}`),
      ["orders-1 stale"],
    );
  });

  it("waits for the sidecars and says how long they took", async () => {
    const store = f.publisher.store;
    const applying = f.call("POST", "/v1/apply", {
      token: operatorToken,
      body: {
        sources: [{ file: "-", text: route.replace("name: orders}\nspec", "name: waited}\nspec") }],
        wait: 5_000,
      },
    });
    const version = (await store.config.pointer())!.version + 1;
    await new Promise((resolve) => setTimeout(resolve, 60));
    const pointer = (await store.config.pointer())!;
    assert.equal(pointer.version, version);
    await store.registry.register(record("orders-1", { appliedEpoch: pointer.epoch, appliedVersion: version }), 15_000);
    const { applied } = (await (await applying).json()) as {
      applied: { sidecars: number; of: number; p50Ms: number; maxMs: number };
    };
    assert.equal(applied.sidecars, 1);
    assert.equal(applied.of, 1);
    assert.ok(applied.maxMs >= 30 && applied.maxMs < 4_000, String(applied.maxMs));
  });

  it("gives a join token that works once, for the identity in it", async () => {
    const minted = (await (
      await f.call("POST", "/v1/tokens", { token: operatorToken, body: { service: "orders", ttl: "1m" } })
    ).json()) as { token: string };
    assert.equal(readJoinToken(minted.token).control, "https://127.0.0.1:15010");
    const id = meshId("mesh.local", "default", "orders");
    const { csrPem } = await createKeyAndCsr(id);
    const joins = await Promise.all(
      Array.from({ length: 20 }, () => f.call("POST", "/v1/join", { body: { token: minted.token, csr: csrPem } })),
    );
    assert.equal(joins.filter(({ status }) => status === 200).length, 1);
    assert.equal(joins.filter(({ status }) => status === 401).length, 19);
    const reply = (await joins.find(({ status }) => status === 200)!.json()) as {
      spiffeId: string;
      configKey: { kty: string };
    };
    assert.equal(reply.spiffeId, id.text);
    assert.equal(reply.configKey.kty, "EC");
    const { csrPem: foreign } = await createKeyAndCsr(meshId("mesh.local", "default", "web"));
    const { token } = (await (
      await f.call("POST", "/v1/tokens", { token: operatorToken, body: { service: "orders" } })
    ).json()) as { token: string };
    assert.equal((await f.call("POST", "/v1/join", { body: { token, csr: foreign } })).status, 403);
  });

  it("lets a reader token read and nothing else", async () => {
    const { token } = (await (
      await f.call("POST", "/v1/tokens", { token: operatorToken, body: { service: "edge", kind: "reader", ttl: "1h" } })
    ).json()) as { token: string };
    assert.equal((await f.call("GET", "/v1/snapshot", { token })).status, 200);
    assert.equal((await f.call("GET", "/v1/instances", { token })).status, 200);
    for (const path of ["/v1/apply", "/v1/breakers/override"])
      assert.equal((await f.call("POST", path, { token, body: {} })).status, 403, path);
    assert.equal((await f.call("PUT", "/v1/instances/edge-1", { token, body: {} })).status, 403);
  });

  it("takes votes only from registered instances of the caller, and overrides only from operators", async () => {
    const vote = {
      service: "orders",
      namespace: "default",
      endpoint: "127.0.0.1:4001",
      voter: "orders-1",
      expiresAtMs: Date.now() + 10 * 86_400_000,
    };
    assert.equal((await f.call("POST", "/v1/breakers/vote", { peer: peerOf("web"), body: vote })).status, 403);
    assert.equal((await f.call("POST", "/v1/breakers/vote", { peer: peerOf("orders"), body: vote })).status, 204);
    const [stored] = await f.publisher.store.breaker.votes();
    assert.ok(stored!.expiresAtMs <= Date.now() + 600_000, "a vote cannot be cast for days");
    const forced = await f.call("POST", "/v1/breakers/override", {
      token: operatorToken,
      body: { service: "orders", endpoint: null, state: "forced-open", forMs: 60_000 },
    });
    const { until, ...rest } = (await forced.json()) as { until: string };
    assert.deepEqual(rest, { service: "orders", endpoint: null, state: "forced-open" });
    assert.ok(Math.abs(Date.parse(until) - Date.now() - 60_000) < 5_000);
    assert.equal((await f.publisher.store.breaker.overrides()).length, 1);
    await f.call("POST", "/v1/breakers/reset", { token: operatorToken, body: { service: "orders" } });
    // What is left is the order itself, for every caller to carry out once.
    const states = (await f.publisher.store.breaker.overrides()).map(({ state }) => state);
    assert.deepEqual([states, await f.publisher.store.breaker.votes()], [["reset"], []]);
  });

  it("bounds what it reads", async () => {
    const huge = JSON.stringify({ sources: [{ file: "-", text: "x".repeat(3_000_000) }] });
    assert.equal((await f.call("POST", "/v1/apply", { token: operatorToken, body: huge })).status, 413);
    for (const body of ["", "{", "[".repeat(100_000), '{"sources":[]}', '{"sources":"x"}', "null"]) {
      assert.equal((await f.call("POST", "/v1/apply", { token: operatorToken, body })).status, 400, body.slice(0, 20));
    }
  });

  it("sends hints as events and stops when the reader is gone", async () => {
    const response = await f.call("GET", "/v1/events", { peer: peerOf("web") });
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    const reader = response.body!.getReader();
    let text = "";
    const until = async (part: string): Promise<void> => {
      while (!text.includes(part)) text += new TextDecoder().decode((await reader.read()).value);
    };
    await until('data: {"t":"resync"}\n\n');
    await f.publisher.store.breaker.reset("orders", "default", null);
    await until('data: {"t":"breaker"}\n\n');
    await reader.cancel();
  });
});
