/** The edge worker of the examples in real workerd, against a real control plane over TLS. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startPlane, type TestPlane } from "../control/_plane.ts";
import { delay, eventually } from "../support/ports.ts";
import { route, service, startUpstream, type Echo, type Upstream } from "./upstream.ts";
import { bundle, startWorker, type Worker } from "./workerd.ts";

/** `refreshMs` of the example. */
const refreshMs = 1_000;

describe("createMesh() in workerd, config from a control plane", () => {
  let plane: TestPlane;
  let first: Upstream;
  let second: Upstream;
  let script: string;
  let controlUrl: string;
  let worker: Worker;

  const readerToken = async (ttl = "1h"): Promise<string> => {
    const { status, body } = await plane.call("POST", "/v1/tokens", { service: "edge", kind: "reader", ttl });
    assert.equal(status, 200, JSON.stringify(body));
    return String(body["token"]);
  };
  const publish = async (...documents: object[]): Promise<void> => {
    const { status, body } = await plane.call("POST", "/v1/apply", {
      sources: [{ file: "test.yaml", text: documents.map((document) => JSON.stringify(document)).join("\n---\n") }],
    });
    assert.equal(status, 200, JSON.stringify(body));
  };
  const start = (token: string): Promise<Worker> =>
    startWorker(script, { text: { CONTROL_URL: controlUrl, READER_TOKEN: token }, rootPem: plane.plane.rootPem });
  const nameBehind = async (path: string): Promise<string> =>
    ((await (await fetch(worker.url + path)).json()) as Echo).name;

  before(async () => {
    [plane, first, second, { text: script }] = await Promise.all([
      startPlane(),
      startUpstream("first"),
      startUpstream("second"),
      bundle("examples/edge-worker/worker.ts"),
    ]);
    // workerd compares host names with DNS names of a certificate, and an address is none.
    controlUrl = plane.plane.address.replace("127.0.0.1", "localhost");
    await publish(service("orders", [first.address]));
    worker = await start(await readerToken());
  });

  after(async () => {
    await worker?.stop();
    await Promise.all([first?.close(), second?.close(), plane?.close()]);
  });

  it("routes by what is published, with a reader token and the mesh's own root", async () => {
    const response = await fetch(`${worker.url}/orders/7?a=b`);
    const echo = (await response.json()) as Echo;
    assert.equal(response.status, 200, JSON.stringify(echo));
    assert.equal(echo.name, "first");
    assert.equal(echo.url, "/7?a=b");
  });

  it("follows a new version within the refresh time", async () => {
    await publish(
      service("orders-next", [second.address]),
      route("orders", [
        {
          matches: [{ headers: [{ name: "x-canary", value: "yes" }] }],
          backendRefs: [{ name: "orders-next", port: 80 }],
        },
        { backendRefs: [{ name: "orders", port: 80 }] },
      ]),
    );
    const startedMs = performance.now();
    await eventually("the canary to be routed", async () => {
      const response = await fetch(`${worker.url}/orders/`, { headers: { "x-canary": "yes" } });
      return ((await response.json()) as Echo).name === "second";
    });
    assert.ok(performance.now() - startedMs < refreshMs + 2_000);
    assert.equal(await nameBehind("/orders/"), "first");
  });

  it("serves 50 requests at once, before and after a refresh, without one request's I/O in another", async () => {
    const fresh = await start(await readerToken());
    try {
      for (let round = 0; round < 3; round++) {
        const replies = await Promise.all(Array.from({ length: 50 }, () => fetch(`${fresh.url}/orders/`)));
        assert.deepEqual([...new Set(replies.map(({ status }) => status))], [200]);
        await Promise.all(replies.map((reply) => reply.text()));
        await delay(round * refreshMs * 0.6);
      }
      assert.doesNotMatch(fresh.output(), /different request|never generate|hang|uncaught/i);
    } finally {
      await fresh.stop();
    }
  });

  it("keeps the last good version when the store holds garbage, and recovers", async () => {
    const stored = await plane.store.config.current();
    assert.ok(stored);
    const version = stored.version + 1;
    const published = plane.store.config;
    const { current, pointer } = published;
    Object.assign(published, {
      current: async () => ({ ...stored, version, body: "{ not JSON" }),
      pointer: async () => ({ epoch: stored.epoch, version }),
    });
    try {
      for (let i = 0; i < 5; i++) {
        assert.equal(await nameBehind("/orders/"), "first");
        await delay(refreshMs / 2);
      }
    } finally {
      Object.assign(published, { current, pointer });
    }
    // Takes the number that the garbage had; the one after it is news.
    await publish(service("filler", [first.address]));
    await publish(service("orders", [second.address]));
    await eventually("the version after the garbage", async () => (await nameBehind("/orders/")) === "second");
    await publish(service("orders", [first.address]));
    await eventually("the version after that", async () => (await nameBehind("/orders/")) === "first");
  });

  for (const [what, token] of [
    ["no token", ""],
    ["a token of nobody's", `${"x".repeat(30)}.${"y".repeat(30)}.${"z".repeat(30)}`],
  ] as const) {
    it(`says what to do with ${what}: 503, and nothing is routed`, async () => {
      const stranger = await start(token);
      try {
        const response = await fetch(`${stranger.url}/orders/`);
        const problem = (await response.json()) as { code: string; flag: string; detail: string; advice: string };
        assert.equal(response.status, 503);
        assert.equal(problem.code, "ERR_NOT_READY");
        assert.equal(problem.flag, "OM");
        assert.match(problem.detail, /token|members of the mesh/);
        assert.match(problem.advice, /token/);
        assert.equal(response.headers.get("retry-after"), "1");
      } finally {
        await stranger.stop();
      }
    });
  }

  it("believes no control plane that its roots do not name", async () => {
    const token = await readerToken();
    const trusting = await startWorker(script, { text: { CONTROL_URL: controlUrl, READER_TOKEN: token } });
    try {
      const response = await fetch(`${trusting.url}/orders/`);
      assert.equal(response.status, 503);
      assert.match(await response.text(), /does not answer/);
    } finally {
      await trusting.stop();
    }
  });

  it("says why it cannot call an instance that has to prove who it is, and calls listed endpoints instead", async () => {
    const record = {
      id: "pay-1",
      service: "pay",
      namespace: "default",
      address: "127.0.0.1:1",
      addressH2: null,
      spiffeId: "spiffe://mesh.local/ns/default/sa/pay",
      zone: null,
      weight: 1,
      runtime: "node 26",
      appliedEpoch: "",
      appliedVersion: 0,
      state: "applied",
      reason: null,
      certificateExpiresAt: null,
      seenAtMs: Date.now(),
    } as const;
    await plane.store.registry.register(record, 60_000);
    await eventually("the instance to be known", async () => (await fetch(`${worker.url}/pay/`)).status !== 404);
    const response = await fetch(`${worker.url}/pay/`);
    assert.equal(response.headers.get("x-mesh-error"), "ERR_CAPABILITY_MISSING");
    assert.match(await response.text(), /spiffe:\/\/mesh\.local\/ns\/default\/sa\/pay/);
    await publish(service("pay", [second.address]));
    await eventually("the listed endpoint", async () => (await fetch(`${worker.url}/pay/`)).status === 200);
    for (let i = 0; i < 10; i++) assert.equal(await nameBehind("/pay/"), "second");
  });

  it("goes on with what it has when the control plane is gone", async () => {
    await plane.plane.close();
    const until = performance.now() + 2.5 * refreshMs;
    while (performance.now() < until) {
      const startedMs = performance.now();
      assert.equal(await nameBehind("/orders/"), "first");
      assert.ok(performance.now() - startedMs < 2_000);
      await delay(100);
    }
  });
});
