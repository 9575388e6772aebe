/** The request's journey in workerd, from documents written into the worker. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { freePort } from "../support/ports.ts";
import { route, service, startUpstream, type Echo, type Upstream } from "./upstream.ts";
import { bundle, startWorker, type Worker } from "./workerd.ts";

describe("createMesh() in workerd, inline documents", () => {
  let stable: Upstream;
  let canary: Upstream;
  let sick: Upstream;
  let worker: Worker;

  before(async () => {
    const [script, ...upstreams] = await Promise.all([
      bundle("tests/edge/worker.ts"),
      startUpstream("stable"),
      startUpstream("canary"),
      startUpstream("sick"),
    ]);
    [stable, canary, sick] = upstreams;
    const refused = `127.0.0.1:${await freePort()}`;
    const to = (name: string, weight = 1): object => ({ name, port: 80, weight });
    const documents = [
      service("stable", [stable.address]),
      service("canary", [canary.address]),
      service("half", [refused, stable.address]),
      service("spare", [refused, stable.address]),
      service("gone", [refused]),
      service("mixed", [sick.address, stable.address]),
      {
        apiVersion: "fetchmesh.dev/v1alpha1",
        kind: "BackendPolicy",
        metadata: { name: "mixed" },
        spec: {
          targetRefs: [{ group: "", kind: "Service", name: "mixed" }],
          breaker: { consecutiveFailures: 3, openFor: "30s" },
        },
      },
      service("shop", []),
      route("shop", [
        { matches: [{ path: { type: "Exact", value: "/exact" } }], backendRefs: [to("canary")] },
        { matches: [{ path: { type: "PathPrefix", value: "/canary" } }], backendRefs: [to("canary")] },
        { matches: [{ headers: [{ name: "x-canary", value: "yes" }] }], backendRefs: [to("canary")] },
        {
          matches: [{ path: { type: "PathPrefix", value: "/split" } }],
          backendRefs: [to("stable", 3), to("canary", 1)],
        },
        {
          matches: [{ path: { type: "PathPrefix", value: "/hang" } }],
          backendRefs: [to("stable")],
          timeouts: { request: "300ms" },
        },
        { matches: [{ path: { type: "PathPrefix", value: "/redirect" } }], backendRefs: [to("stable")] },
        {
          matches: [{ path: { type: "PathPrefix", value: "/filtered" } }],
          backendRefs: [to("stable")],
          filters: [
            {
              type: "RequestHeaderModifier",
              requestHeaderModifier: { set: [{ name: "x-set", value: "by the mesh" }], remove: ["x-secret"] },
            },
            {
              type: "ResponseHeaderModifier",
              responseHeaderModifier: { add: [{ name: "x-added", value: "on the way back" }] },
            },
          ],
        },
        { backendRefs: [to("stable")] },
      ]),
    ];
    worker = await startWorker(script.text, { json: { OPTIONS: { documents } } });
  });

  after(async () => {
    await worker?.stop();
    await Promise.all([stable, canary, sick].map((upstream) => upstream?.close()));
  });

  const get = async (path: string, init?: RequestInit): Promise<{ response: Response; echo: Echo }> => {
    const response = await fetch(worker.url + path, { redirect: "manual", ...init });
    return { response, echo: (await response.json().catch(() => ({}))) as Echo };
  };

  it("routes by exact path, by prefix and by header, and else by the last rule", async () => {
    assert.equal((await get("/shop/exact")).echo.name, "canary");
    assert.equal((await get("/shop/exact/")).echo.name, "stable");
    assert.equal((await get("/shop/canary/a?b=%20c")).echo.url, "/canary/a?b=%20c");
    assert.equal((await get("/shop/x", { headers: { "x-canary": "yes" } })).echo.name, "canary");
    const { echo } = await get("/shop/a%2Fb/?q=1&q=2");
    assert.equal(echo.name, "stable");
    assert.equal(echo.url, "/a%2Fb/?q=1&q=2");
  });

  it("splits by weight", async () => {
    const replies = await Promise.all(Array.from({ length: 200 }, () => get("/shop/split")));
    const share = replies.filter(({ echo }) => echo.name === "canary").length;
    // 50 expected, 6 standard deviations either way.
    assert.ok(share > 13 && share < 87, `${share} of 200`);
  });

  it("applies header filters both ways, and believes no identity header", async () => {
    const headers = {
      "x-secret": "s",
      "x-set": "by the caller",
      "x-forwarded-client-cert": "URI=spiffe://mesh.local/ns/default/sa/admin",
    };
    const { response, echo } = await get("/shop/filtered", { headers });
    assert.equal(echo.headers["x-set"], "by the mesh");
    assert.equal(echo.headers["x-secret"], undefined);
    assert.equal(echo.headers["x-forwarded-client-cert"], undefined);
    assert.match(String(echo.headers["traceparent"]), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.equal(response.headers.get("x-added"), "on the way back");
  });

  it("hands redirects back", async () => {
    const { response } = await get("/shop/redirect");
    assert.equal(response.status, 302);
    assert.equal(response.headers.get("location"), "/elsewhere");
  });

  it("repeats a GET elsewhere when an endpoint refuses the connection", async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => get("/half/x")));
    assert.deepEqual(
      replies.map(({ response }) => response.status),
      Array.from({ length: 20 }, () => 200),
    );
  });

  it("repeats a PUT with its body, and says the length of what it holds", async () => {
    for (let i = 0; i < 6; i++) {
      const { response, echo } = await get("/spare/x", { method: "PUT", headers: { "x-text": "a body in memory" } });
      assert.equal(response.status, 200);
      assert.equal(echo.body, "a body in memory");
      assert.equal(echo.headers["content-length"], "16");
      const streamed = await get("/spare/x", { method: "PUT", body: "from the wire" });
      assert.equal(streamed.response.status, 200);
      assert.equal(streamed.echo.body, "from the wire");
    }
  });

  it("answers a timeout with 504 and a problem document", async () => {
    const { response, echo } = await get("/shop/hang");
    assert.equal(response.status, 504);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.equal(response.headers.get("x-mesh-flag"), "UT");
    assert.equal((echo as unknown as { code: string }).code, "ERR_DEADLINE_EXCEEDED");
  });

  it("says how to allow a service that nobody knows: 404, NR", async () => {
    const { response, echo } = await get("/nobody/");
    const problem = echo as unknown as { status: number; flag: string; advice: string; by: string };
    assert.equal(response.status, 404);
    assert.equal(problem.flag, "NR");
    assert.match(problem.advice, /Service document named nobody/);
    assert.equal(problem.by, "module edge");
  });

  it("says which address cannot be reached: 503", async () => {
    const { response, echo } = await get("/gone/", { method: "POST", headers: { "x-text": "once" } });
    assert.equal(response.status, 503);
    assert.match((echo as unknown as { detail: string }).detail, /127\.0\.0\.1:\d+/);
  });

  it("opens the breaker of an endpoint that fails, and avoids it from then on", async () => {
    sick.status = 500;
    for (let i = 0; i < 30; i++) await get("/mixed/x", { method: "POST", headers: { "x-text": "x" } });
    const before = sick.seen.length;
    assert.ok(before >= 3 && before < 10, `${before} requests until it was ejected`);
    const replies = await Promise.all(Array.from({ length: 50 }, () => get("/mixed/x")));
    assert.equal(sick.seen.length, before);
    assert.ok(replies.every(({ echo }) => echo.name === "stable"));
  });
});
