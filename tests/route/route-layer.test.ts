import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compileSnapshot, emptySnapshot } from "../../src/control/compile.ts";
import type { Resource } from "../../src/control/resources.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import type { Identified, Routed } from "../../src/exchange.ts";
import { backendDefaults } from "../../src/policy/backend-config.ts";
import { seededRandom } from "../../src/random.ts";
import { editHeaders } from "../../src/route/edit-headers.ts";
import { route } from "../../src/route/route-layer.ts";
import { makeRule } from "../../src/route/rule.ts";
import { split } from "../../src/route/split.ts";
import { createBench, exchangeFor, instance, refusal, type Bench, type ExchangeOptions } from "../support/data-path.ts";

function snapshotOf(...documents: object[]): Snapshot {
  return compileSnapshot({ mesh: "m", epoch: "e1", version: 1, digest: "", documents: documents as Resource[] });
}

const httpRoute = (name: string, spec: object, namespace = "default"): object => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name, namespace },
  spec: { parentRefs: [{ kind: "Service", name: "orders", namespace: "default" }], ...spec },
});
const service = (name: string, ...ports: number[]): object => ({
  apiVersion: "fetchmesh.dev/v1alpha1",
  kind: "Service",
  metadata: { name, namespace: "default" },
  spec: { ports: ports.map((port) => ({ port })) },
});

function benchWith(snapshot: Snapshot, ...services: string[]): Bench {
  const bench = createBench();
  bench.directory.update(
    snapshot,
    services.map((name) => instance(name, `${name}.local:1`)),
  );
  return bench;
}

async function routedTo(
  bench: Bench,
  snapshot: Snapshot,
  url: string,
  options: ExchangeOptions & { namespace?: string } = {},
): Promise<Routed> {
  const x = exchangeFor(url, { snapshot, ...options }) as Identified;
  const layer = route({ directory: bench.directory, namespace: options.namespace ?? "default", random: bench.random });
  await layer(editHeaders()(() => Promise.resolve(new Response())))(x);
  return x as Routed;
}

describe("route()", () => {
  it("passes straight through where no route is attached (MeshBasic)", async () => {
    const snapshot = emptySnapshot("e1");
    const bench = benchWith(snapshot, "orders");
    for (const url of [
      "http://orders/",
      "http://orders:8080/x",
      "http://orders.default/",
      "http://orders.default.svc.cluster.local:1/",
    ]) {
      const x = await routedTo(bench, snapshot, url);
      assert.equal(x.cluster.key, "default/orders");
      assert.equal(x.route.rule.name, "default");
    }
  });

  it("makes the straight-through decision once per policy, not per request", async () => {
    const bench = benchWith(emptySnapshot("e1"), "orders");
    const layer = route({ directory: bench.directory, namespace: "default", random: bench.random })(() =>
      Promise.resolve(new Response()),
    );
    const decisions = new Set<unknown>();
    for (let i = 0; i < 3; i++) {
      const x = exchangeFor("http://orders/") as Identified;
      await layer(x);
      decisions.add(x.route);
    }
    assert.equal(decisions.size, 1);
  });

  it("goes where a per-upstream port points, whatever the Host says", async () => {
    const bench = benchWith(emptySnapshot("e1"), "orders", "billing");
    assert.equal(
      (await routedTo(bench, emptySnapshot("e1"), "http://127.0.0.1:9001/", { upstream: "billing" })).cluster.service,
      "billing",
    );
  });

  it("says of an unknown service how to allow it (404, NR)", async () => {
    const bench = benchWith(emptySnapshot("e1"));
    const error = await refusal(routedTo(bench, emptySnapshot("e1"), "http://payments.shop/"));
    assert.equal(error.code, "ERR_SERVICE_UNKNOWN");
    assert.equal(error.flag, "NR");
    assert.match(error.message, /payments\.shop/);
    assert.match(error.advice!, /Service document named payments in namespace shop/);
    assert.match(error.advice!, /--service payments --namespace shop/);
    const foreign = await refusal(routedTo(bench, emptySnapshot("e1"), "http://www.example.com/"));
    assert.equal(foreign.code, "ERR_SERVICE_UNKNOWN");
    assert.match(foreign.advice!, /www\.example\.com.*NO_PROXY/s);
    const host = await refusal(routedTo(bench, emptySnapshot("e1"), "http://example.com/"));
    assert.match(host.advice!, /"example\.com".*NO_PROXY/s, "a host name, not service example of namespace com");
    const known = snapshotOf(service("orders"));
    const misspelt = await refusal(routedTo(benchWith(known), known, "http://order/"));
    assert.match(misspelt.advice!, /^Did you mean "orders"\?/);
  });

  it("knows a service that only a document names, even before the directory heard of it", async () => {
    const snapshot = snapshotOf(service("orders"));
    assert.equal((await routedTo(createBench(), snapshot, "http://orders/")).cluster.key, "default/orders");
  });

  it("refuses a port that no document names, and names those it has", async () => {
    const snapshot = snapshotOf(service("orders", 80, 8080));
    const bench = benchWith(snapshot, "orders");
    await routedTo(bench, snapshot, "http://orders:8080/");
    await routedTo(bench, snapshot, "http://orders/");
    const error = await refusal(routedTo(bench, snapshot, "http://orders:81/"));
    assert.equal(error.code, "ERR_SERVICE_UNKNOWN");
    assert.match(error.advice!, /80 or 8080/);
  });

  it("follows the rule that matches, and refuses what none matches (404)", async () => {
    const snapshot = snapshotOf(
      httpRoute("split", {
        rules: [{ matches: [{ path: { type: "PathPrefix", value: "/v2" } }], backendRefs: [{ name: "orders-v2" }] }],
      }),
    );
    const bench = benchWith(snapshot, "orders", "orders-v2");
    const x = await routedTo(bench, snapshot, "http://orders/v2/list");
    assert.equal(x.cluster.key, "default/orders-v2");
    assert.equal(x.route.rule.name, "default/split");
    const error = await refusal(routedTo(bench, snapshot, "http://orders/v1"));
    assert.equal(error.code, "ERR_ROUTE_NOT_FOUND");
    assert.match(error.message, /GET \/v1/);
  });

  it("leaves ports alone that no parentRef names (MeshPorts)", async () => {
    const spec = {
      parentRefs: [{ kind: "Service", name: "orders", port: 80 }],
      rules: [{ backendRefs: [{ name: "orders-v2" }] }],
    };
    const snapshot = snapshotOf(httpRoute("ported", spec));
    const bench = benchWith(snapshot, "orders", "orders-v2");
    assert.equal((await routedTo(bench, snapshot, "http://orders/")).cluster.service, "orders-v2");
    assert.equal((await routedTo(bench, snapshot, "http://orders:80/")).cluster.service, "orders-v2");
    assert.equal((await routedTo(bench, snapshot, "http://orders:8080/")).cluster.service, "orders");
  });

  it("applies a consumer's route to callers of its namespace only (MeshConsumerRoute)", async () => {
    const snapshot = snapshotOf(
      httpRoute(
        "mine",
        {
          rules: [
            {
              backendRefs: [{ name: "orders", namespace: "default" }],
              filters: [
                {
                  type: "ResponseHeaderModifier",
                  responseHeaderModifier: { set: [{ name: "X-Header-Set", value: "set" }] },
                },
              ],
            },
          ],
        },
        "consumer",
      ),
    );
    const bench = benchWith(snapshot, "orders");
    const theirs = await routedTo(bench, snapshot, "http://orders.default/", { namespace: "consumer" });
    assert.deepEqual(theirs.responseEdits.added, ["X-Header-Set", "set"]);
    const others = await routedTo(bench, snapshot, "http://orders.default/", { namespace: "producer" });
    assert.equal(others.responseEdits.isEmpty, true);
  });

  const invalid: readonly [string, object][] = [
    ["no backendRefs", { rules: [{}] }],
    ["empty backendRefs", { rules: [{ backendRefs: [] }] }],
    ["weights that sum to 0", { rules: [{ backendRefs: [{ name: "orders", weight: 0 }] }] }],
    ["a backend nobody knows", { rules: [{ backendRefs: [{ name: "nobody" }] }] }],
    ["a backend that is not a Service", { rules: [{ backendRefs: [{ kind: "Bucket", name: "orders" }] }] }],
  ];
  for (const [name, spec] of invalid) {
    it(`answers 500 to ${name}`, async () => {
      const snapshot = snapshotOf(httpRoute("broken", spec));
      const error = await refusal(routedTo(benchWith(snapshot, "orders"), snapshot, "http://orders/"));
      assert.equal(error.code, "ERR_BACKEND_INVALID");
      assert.equal(error.status, 500);
      assert.match(error.message, /default\/broken/);
    });
  }

  it("gives an invalid backend its share of the failures, not its neighbour's", async () => {
    const snapshot = snapshotOf(
      httpRoute("half", {
        rules: [
          {
            backendRefs: [
              { name: "orders", weight: 7 },
              { name: "nobody", weight: 3 },
            ],
          },
        ],
      }),
    );
    const bench = benchWith(snapshot, "orders");
    let failures = 0;
    for (let i = 0; i < 500; i++) await routedTo(bench, snapshot, "http://orders/").catch(() => failures++);
    assert.ok(Math.abs(failures / 500 - 0.3) < 0.05, String(failures));
  });

  it("holds a request to the policies of the version it started with", async () => {
    const policy = (retries: number): object => ({
      apiVersion: "fetchmesh.dev/v1alpha1",
      kind: "BackendPolicy",
      metadata: { name: "p", namespace: "default" },
      spec: { targetRefs: [{ kind: "Service", name: "orders" }], retry: { attempts: retries } },
    });
    const [before, after] = [snapshotOf(policy(1)), snapshotOf(policy(5))];
    const bench = benchWith(after, "orders");
    assert.equal((await routedTo(bench, before, "http://orders/")).route.rule.retry.retries, 1);
    assert.equal((await routedTo(bench, after, "http://orders/")).route.rule.retry.retries, 5);
  });
});

describe("editHeaders()", () => {
  it("applies the rule's filters and then the backend's, each way nested", async () => {
    const modifier = (type: "Request" | "Response", value: string): object => {
      const key = `${type.toLowerCase()}HeaderModifier`;
      return {
        type: `${type}HeaderModifier`,
        [key]: { set: [{ name: "x-by", value }], add: [{ name: "x-seen", value }] },
      };
    };
    const spec = {
      rules: [
        {
          filters: [modifier("Request", "rule"), modifier("Response", "rule")],
          backendRefs: [{ name: "orders", filters: [modifier("Request", "backend"), modifier("Response", "backend")] }],
        },
      ],
    };
    const snapshot = snapshotOf(httpRoute("edits", spec));
    const x = await routedTo(benchWith(snapshot, "orders"), snapshot, "http://orders/", {
      headers: { "X-By": "caller", "x-seen": "caller" },
    });
    const request = new Headers(x.request.headers);
    x.requestEdits.applyTo(request);
    assert.equal(request.get("x-by"), "backend");
    assert.equal(request.get("x-seen"), "caller, rule, backend");
    const response = new Headers();
    x.responseEdits.applyTo(response);
    assert.equal(response.get("x-by"), "rule");
    assert.equal(response.get("x-seen"), "backend, rule");
  });
});

describe("split()", () => {
  const ruleOf = (...weights: number[]) =>
    makeRule({
      name: "r",
      backends: weights.map((weight, i) => ({
        service: `default/s${i}`,
        weight,
        requestFilter: null,
        responseFilter: null,
        config: backendDefaults,
      })),
      requestFilter: null,
      responseFilter: null,
      timeouts: backendDefaults.timeouts,
      retry: backendDefaults.retry,
    });

  it("splits 70/30/0 within five points over 500 (HTTPRouteWeight)", () => {
    const rule = ruleOf(70, 30, 0);
    const random = seededRandom(3);
    const counts = [0, 0, 0];
    for (let i = 0; i < 500; i++) counts[rule.decisions.indexOf(split(rule, random)!)]!++;
    assert.ok(Math.abs(counts[0]! / 500 - 0.7) < 0.05 && Math.abs(counts[1]! / 500 - 0.3) < 0.05, String(counts));
    assert.equal(counts[2], 0);
  });

  it("never chooses weight 0, however the dice fall", () => {
    for (const dice of [0, 0.5, 0.999_999_999_999_999_9, 1]) {
      assert.equal(split(ruleOf(0, 1, 0), () => dice)?.backend.weight, 1);
      assert.equal(
        split(ruleOf(0, 0), () => dice),
        null,
      );
      assert.equal(
        split(ruleOf(0), () => dice),
        null,
      );
    }
  });
});
