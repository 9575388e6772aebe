import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";
import type { EndpointReport, ServiceReport } from "../../src/observe/endpoint-report.ts";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh, type Reply } from "../support/mesh.ts";
import { delay, eventually } from "../support/ports.ts";

const policy = (spec: string): string => `
apiVersion: fetchmesh.dev/v1alpha1
kind: BackendPolicy
metadata: { name: orders }
spec: { targetRefs: [{ kind: Service, name: orders }], ${spec} }
`;

const route = (rules: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: orders }
spec: { parentRefs: [{ kind: Service, name: orders }], rules: ${rules} }
`;

function ask(from: Sidecar, path = "/", options: Parameters<typeof call>[2] = {}): Promise<Reply> {
  return call(from.ready.outbound, path, { ...options, headers: { host: "orders", ...options.headers } });
}

async function endpointsOf(sidecar: Sidecar): Promise<readonly EndpointReport[]> {
  const view = JSON.parse((await call(sidecar.ready.admin, "/endpoints")).body) as {
    services: readonly ServiceReport[];
  };
  return view.services.find(({ service }) => service === "orders")?.endpoints ?? [];
}

const endpointAt = async (sidecar: Sidecar, address: string): Promise<EndpointReport | undefined> =>
  (await endpointsOf(sidecar)).find((endpoint) => endpoint.address === address);

describe("traffic between two instances and three callers", () => {
  let mesh: Mesh;
  const apps: App[] = [];
  let first: App;
  let second: App;
  let firstSidecar: Sidecar;
  let callers: Sidecar[];
  /** How the first instance answers; the second is always well. */
  let behave: (response: ServerResponse) => void;
  const well = (response: ServerResponse): void => void response.end("first");

  before(async () => {
    behave = well;
    mesh = await startMesh();
    // From the start: an opening lasts as long as the policy said when it began.
    await mesh.apply(policy("breaker: { openFor: 1s }"));
    first = await startApp("first", (request, response) => {
      request.resume();
      request.on("end", () => behave(response));
    });
    second = await startApp("second");
    const web = await startApp("web");
    apps.push(first, second, web);
    firstSidecar = await mesh.sidecar("orders", first);
    await mesh.sidecar("orders", second);
    callers = await Promise.all(["web", "shop", "report"].map((service) => mesh.sidecar(service, web)));
    for (const caller of callers) {
      await eventually("both instances are known", async () => (await endpointsOf(caller)).length === 2);
    }
  });

  after(async () => {
    await mesh.close();
    await Promise.all(apps.map((app) => app.close()));
  });

  const web = (): Sidecar => callers[0]!;
  const reset = async (): Promise<void> => {
    behave = well;
    await mesh.apply(policy("breaker: { openFor: 1s }") + "---" + route("[{ backendRefs: [{ name: orders }] }]"));
    await eventually("the first instance is well again", async () => {
      await Promise.all(callers.map((caller) => ask(caller)));
      const views = await Promise.all(callers.map((caller) => endpointAt(caller, firstSidecar.ready.inbound)));
      return views.every((view) => view?.breaker === "closed");
    });
  };

  it("is shared about evenly", async () => {
    const counts = { first: 0, second: 0 };
    for (let i = 0; i < 200; i++) counts[(await ask(web())).body as keyof typeof counts]++;
    assert.ok(Math.min(counts.first, counts.second) > 20, JSON.stringify(counts));
  });

  it("is repeated elsewhere if that is safe, and never a POST that was sent (A-39)", async () => {
    behave = (response) => void response.socket?.destroy();
    for (let i = 0; i < 10; i++) assert.equal((await ask(web(), "/")).status, 200);
    await reset();
    const before = first.seen.length;
    behave = (response) => void response.socket?.destroy();
    let failures = 0;
    let tries = 0;
    for (let i = 0; i < 8; i++) {
      if ((await ask(web(), "/", { method: "POST", body: "pay" })).status >= 500) failures++;
    }
    tries = first.seen.length - before;
    assert.equal(tries, failures, "each failed POST was seen once");
    await reset();
  });

  it("avoids an instance whose application is gone without failing a request, and finds it again (A-42)", async () => {
    const { port } = first;
    await first.close();
    const statuses = new Map<number, number>();
    for (let i = 0; i < 100; i++) {
      const { status } = await ask(web());
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    assert.deepEqual([...statuses], [[200, 100]]);
    const view = await endpointAt(web(), firstSidecar.ready.inbound);
    assert.deepEqual([view?.breaker, view?.ejected], ["open", true]);

    const revived = createServer((request, response) => {
      request.resume();
      request.on("end", () => response.end("first"));
    });
    await new Promise<void>((resolve) => revived.listen(port, "127.0.0.1", resolve));
    apps.push({
      ...first,
      server: revived,
      close: () => new Promise((resolve) => (revived.close(() => resolve()), revived.closeAllConnections())),
    });
    await eventually("the first instance is back", async () => (await ask(web())).body === "first");
    await reset();
    // The new server answers from now on; route its manners through the same switch.
    revived.removeAllListeners("request");
    revived.on("request", (request, response) => {
      request.resume();
      request.on("end", () => behave(response));
    });
  });

  it("spares a third caller the failures of two others (fleet breaker)", async () => {
    await mesh.apply(policy("breaker: { openFor: 20s }"));
    await delay(200);
    behave = (response) => void response.writeHead(500).end("sick");
    for (const caller of callers.slice(0, 2)) {
      await eventually("it has found out itself", async () => {
        await Promise.all(Array.from({ length: 10 }, () => ask(caller)));
        return (await endpointAt(caller, firstSidecar.ready.inbound))?.breaker === "open";
      });
    }
    const third = callers[2]!;
    const told = await eventually("the third caller was told", async () => {
      const view = await endpointAt(third, firstSidecar.ready.inbound);
      return view?.breaker === "open" ? view : undefined;
    });
    assert.deepEqual([told.source, told.ejected], ["quorum", true]);
    for (let i = 0; i < 30; i++) assert.equal((await ask(third)).body, "second");
    const metrics = (await call(third.ready.admin, "/metrics")).body;
    assert.match(metrics, /quorum/);
  });

  it("obeys an operator, and forgets the order when it is taken back", async () => {
    behave = well;
    const order = {
      service: "orders",
      namespace: "default",
      endpoint: null,
      state: "forced-open",
      expiresAtMs: Date.now() + 60_000,
    } as const;
    await mesh.store.breaker.override(order);
    const refused = await eventually("the service is shut", async () => {
      const reply = await ask(web());
      return reply.status === 503 ? reply : undefined;
    });
    assert.equal(refused.headers["x-mesh-flag"], "BO");
    assert.ok(Number(refused.headers["retry-after"]) > 30);
    await mesh.store.breaker.reset("orders", "default", null);
    await eventually("the service is open", async () => (await ask(web())).status === 200);
    await reset();
  });

  it("follows a canary by header and by weight, live (HTTPRoute)", async () => {
    await mesh.apply(
      route(`[
        { matches: [{ headers: [{ name: x-canary, value: "yes" }] }], backendRefs: [{ name: web }] },
        { backendRefs: [{ name: orders, weight: 7 }, { name: web, weight: 3 }], filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-split, value: "1" }] } }] }]`),
    );
    await eventually("the route is live", async () => (await ask(web())).headers["x-split"] === "1");
    assert.equal((await ask(web(), "/", { headers: { "x-canary": "yes" } })).body, "web");
    let canary = 0;
    for (let i = 0; i < 300; i++) if ((await ask(web())).body === "web") canary++;
    assert.ok(Math.abs(canary / 300 - 0.3) < 0.12, String(canary));
    await reset();
  });

  it("ends at its deadline, upstream included (A-41)", async () => {
    await mesh.apply(route("[{ backendRefs: [{ name: orders }], timeouts: { request: 300ms } }]"));
    await delay(200);
    let aborted = 0;
    behave = (response) => void response.on("close", () => aborted++);
    let replies: Reply[] = [];
    await eventually("a request met the hanging instance", async () => {
      const startedAtMs = performance.now();
      const reply = await ask(web());
      if (reply.status !== 504) return false;
      const tookMs = performance.now() - startedAtMs;
      assert.ok(tookMs >= 290 && tookMs < 900, String(tookMs));
      replies = [reply];
      return true;
    });
    assert.equal(replies[0]?.headers["x-mesh-flag"], "UT");
    await eventually("the application's request was cut", () => aborted > 0);
    await reset();
  });

  it("is refused above its limit (UO)", async () => {
    await mesh.apply(policy("limits: { maxRequests: 1 }, breaker: { openFor: 1s }"));
    await delay(200);
    behave = (response) => void setTimeout(() => response.end("first"), 300);
    const replies = await Promise.all(Array.from({ length: 10 }, () => ask(web())));
    const refused = replies.filter(({ status }) => status === 503);
    assert.ok(refused.length > 0);
    for (const reply of refused)
      assert.deepEqual([reply.headers["x-mesh-flag"], reply.headers["x-envoy-overloaded"]], ["UO", "true"]);
    assert.equal((await ask(web())).status, 200);
  });
});
