import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { EndpointReport, ServiceReport } from "../../src/observe/endpoint-report.ts";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, type Reply } from "../support/mesh.ts";
import { delay, eventually } from "../support/ports.ts";
import { ok, rawUpstream, valuesOf, type RawUpstream, type Script } from "../support/raw.ts";
import { knows, startRig, type Rig } from "./_rig.ts";

/** A breaker that never opens, so that retries show alone. */
const noBreaker = "breaker: { consecutiveFailures: 10000, minRequests: 1000000 }";
const unwell: Script = () => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const broken: Script = () => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
const resets: Script = (_, socket) => (socket.destroy(), null);
const hangs: Script = () => null;

describe("three instances that fail", () => {
  let rig: Rig;
  const upstreams: RawUpstream[] = [];
  const sidecars: Sidecar[] = [];
  before(async () => {
    rig = await startRig();
    for (let i = 0; i < 3; i++) {
      upstreams.push(await rawUpstream());
      sidecars.push(await rig.sidecar("stock", upstreams[i]!));
      await knows(rig.web, sidecars[i]!);
    }
  });
  after(async () => {
    await rig.close();
    await Promise.all(upstreams.map((upstream) => upstream.close()));
  });

  async function setUp(spec: string, ...scripts: readonly Script[]): Promise<void> {
    upstreams.forEach((upstream, i) => {
      upstream.script = scripts[i] ?? scripts.at(-1)!;
      upstream.forget();
    });
    await rig.apply(`
apiVersion: fetchmesh.dev/v1alpha1
kind: BackendPolicy
metadata: { name: stock }
spec: { targetRefs: [{ kind: Service, name: stock }], ${spec} }
`);
  }
  const ask = (options: Parameters<typeof call>[2] = {}): Promise<Reply> =>
    call(rig.web.ready.outbound, "/", { ...options, headers: { host: "stock" } });
  const seen = (): number[] => upstreams.map(({ requests }) => requests.length);
  const total = (): number => seen().reduce((sum, n) => sum + n, 0);
  async function endpoints(): Promise<readonly EndpointReport[]> {
    const view = JSON.parse((await call(rig.web.ready.admin, "/endpoints")).body) as {
      services: readonly ServiceReport[];
    };
    return view.services.find(({ service }) => service === "stock")!.endpoints;
  }
  async function many(
    n: number,
    concurrency: number,
    options: Parameters<typeof call>[2] = {},
  ): Promise<Map<number, number>> {
    const statuses = new Map<number, number>();
    let left = n;
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const { status } = await ask(options);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return statuses;
  }

  it("a GET that was reset before its reply is tried twice more, elsewhere, and says so (A-39)", async () => {
    let attempts = 0;
    const twice: Script = (request, socket) => (++attempts <= 2 ? resets(request, socket) : ok);
    await setUp(`${noBreaker}, retryBudget: { minRetriesPerSecond: 10000 }`, twice);
    assert.equal((await ask()).status, 200);
    assert.deepEqual(seen(), [1, 1, 1]);
    const counts = upstreams.flatMap(({ requests }) =>
      requests.flatMap((request) => valuesOf(request, "x-envoy-attempt-count")),
    );
    assert.deepEqual(counts.sort(), ["1", "2", "3"]);
  });

  it("a GET that always fails is tried three times and no more", async () => {
    await setUp(`${noBreaker}, retryBudget: { minRetriesPerSecond: 10000 }`, resets);
    // The first also finds out that kept connections are dead, which is no attempt (RFC 9112 §9.3.1).
    await ask();
    upstreams.forEach((upstream) => upstream.forget());
    assert.equal((await ask()).status, 503);
    assert.deepEqual(seen(), [1, 1, 1]);
  });

  it("a POST whose head was sent is never repeated, however it failed (A-39, rule 24)", async () => {
    for (const script of [resets, unwell]) {
      await setUp(`${noBreaker}, retryBudget: { minRetriesPerSecond: 10000 }`, script);
      for (let i = 1; i <= 5; i++) {
        assert.equal((await ask({ method: "POST", body: "pay" })).status, 503);
        assert.equal(total(), i);
      }
    }
  });

  it("retries add a fifth to the load at most, and a POST nothing (A-40, I18)", async () => {
    await setUp(`${noBreaker}, retryBudget: { percent: 20, minRetriesPerSecond: 0 }`, unwell);
    const statuses = await many(400, 8);
    assert.deepEqual([...statuses.keys()], [503]);
    assert.ok(total() > 400 && total() <= 484, `${total()} attempts for 400 requests`);
    upstreams.forEach((upstream) => upstream.forget());
    await many(100, 8, { method: "POST", body: "pay" });
    assert.equal(total(), 100);
  });

  it("an attempt has its time, and another follows within the request's (A-41)", async () => {
    let attempts = 0;
    await setUp(
      `${noBreaker}, timeouts: { request: 5s, backendRequest: 200ms }, retryBudget: { minRetriesPerSecond: 10000 }`,
      (request, socket) => (++attempts === 1 ? hangs(request, socket) : ok),
    );
    const startedAtMs = performance.now();
    assert.equal((await ask()).status, 200);
    assert.ok(performance.now() - startedAtMs >= 190);
    assert.equal(total(), 2);
  });

  it("no attempt begins after the request's deadline, and none goes on (A-41)", async () => {
    await setUp(
      `${noBreaker}, timeouts: { request: 500ms, backendRequest: 200ms }, retryBudget: { minRetriesPerSecond: 10000 }`,
      hangs,
    );
    const startedAtMs = performance.now();
    const reply = await ask();
    const tookMs = performance.now() - startedAtMs;
    assert.deepEqual([reply.status, reply.headers["x-mesh-flag"]], [504, "UT"]);
    assert.ok(tookMs >= 390 && tookMs < 1_500, `${tookMs} ms`);
    const attempts = total();
    assert.ok(attempts >= 2 && attempts <= 3, `${attempts} attempts`);
    await eventually(
      "all are cut",
      () =>
        upstreams.every(
          ({ connections, requests }) => requests.length === 0 || connections.some(({ isClosed }) => isClosed),
        ),
      3_000,
    );
    await delay(300);
    assert.equal(total(), attempts);
  });

  it("five failures in a row eject one, the others carry on, and a probe brings it back (A-42)", async () => {
    await setUp(noBreaker, () => ok);
    await many(30, 1);
    await setUp("breaker: { openFor: 1s, shared: false, minRequests: 1000000 }", broken, () => ok);
    const one = sidecars[0]!.ready.inbound;
    const breakerOf = async (): Promise<string | undefined> =>
      (await endpoints()).find(({ address }) => address === one)?.breaker;
    await eventually("it is ejected", async () => {
      await ask();
      return (await breakerOf()) === "open";
    });
    const failures = upstreams[0]!.requests.length;
    assert.equal(failures, 5);
    assert.deepEqual([...(await many(30, 3)).keys()], [200]);
    assert.ok(upstreams[0]!.requests.length <= failures + 1, "at most a probe");
    upstreams[0]!.script = () => ok;
    await eventually("it is back", async () => {
      await ask();
      return (await breakerOf()) === "closed";
    });
    assert.deepEqual([...(await many(30, 3)).keys()], [200]);
    assert.ok(upstreams[0]!.requests.length > failures + 1);
  });

  it("are never all ejected: half of the pool stays, and answers for itself (A-43)", async () => {
    await setUp("breaker: { openFor: 2s, maxEjectionPercent: 50, shared: false, minRequests: 1000000 }", broken);
    const statuses = await many(120, 4);
    assert.deepEqual([...statuses.keys()], [500], "the instances' own answer, not ours");
    const open = (await endpoints()).filter(({ ejected }) => ejected).length;
    assert.equal(open, 1);
    await setUp("breaker: { openFor: 100ms, shared: false }", () => ok);
    await eventually(
      "all are well again",
      async () => {
        await many(10, 2);
        return (await endpoints()).every(({ breaker }) => breaker === "closed");
      },
      4_500,
    );
  });

  it("share evenly in turn, and least-request spares the slow one (A-44)", async () => {
    await setUp(`${noBreaker}, balance: { algorithm: round-robin }`, () => ok);
    await many(300, 3);
    for (const n of seen()) assert.ok(Math.abs(n - 100) <= 5, seen().join());
    const after =
      (ms: number): Script =>
      async () => (await delay(ms), ok);
    await setUp(`${noBreaker}, balance: { algorithm: least-request }`, after(100), after(5));
    await many(300, 12);
    const [slow = 0] = seen();
    assert.ok(slow > 0 && slow / total() < 0.2, seen().join());
  });
});
