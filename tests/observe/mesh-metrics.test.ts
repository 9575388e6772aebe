import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Cluster } from "../../src/balance/cluster.ts";
import { MeshError, type MeshErrorCode } from "../../src/errors.ts";
import type { Exchange } from "../../src/exchange.ts";
import { createMeshMetrics, type MeshMetrics } from "../../src/observe/mesh-metrics.ts";
import { observe } from "../../src/observe/observe.ts";
import { parsePrometheus, quantile, type Scrape } from "../../src/observe/prometheus-text.ts";
import {
  makeCluster,
  makeEndpoint,
  makeExchange,
  makeRoute,
  TestClock,
  webPeer,
  type ExchangeParts,
} from "./exchanges.ts";
import { assertStrictExposition } from "./strict-exposition.ts";

const spiffeId = "spiffe://mesh.test/ns/default/sa/gateway";

function meshMetrics(clusters: readonly Cluster[] = []): {
  metrics: MeshMetrics;
  clock: TestClock;
  scrape: () => Scrape;
} {
  const clock = new TestClock();
  const metrics = createMeshMetrics({
    clock,
    self: { service: "gateway", namespace: "default", spiffeId },
    facts: {
      version: "0.1.0",
      runtime: "node 26",
      clusters: () => clusters,
      process: () => ({ cpuSeconds: 1.5, residentBytes: 1e6, startedAtSeconds: 1_700_000_000 }),
    },
  });
  const scrape = (): Scrape => {
    const page = metrics.expose();
    assertStrictExposition(page);
    return parsePrometheus(page);
  };
  return { metrics, clock, scrape };
}

/** A request through `observe()`, which ends as `facts` say. */
async function finish(metrics: MeshMetrics, parts: ExchangeParts, facts: Partial<Exchange>): Promise<void> {
  const x = makeExchange(parts);
  const handler = observe({ events: metrics.events })(async (inner) => {
    Object.assign(inner, facts);
    return new Response();
  });
  await handler(x);
  x.finish();
}

describe("createMeshMetrics()", () => {
  it("counts an outbound request as Istio's source reporter and as Linkerd do", async () => {
    const endpoint = makeEndpoint("10.0.0.1:15006");
    const cluster = makeCluster("orders", [endpoint]);
    const { metrics, clock, scrape } = meshMetrics([cluster]);
    clock.advance(7);
    await finish(
      metrics,
      {},
      { cluster, endpoint, route: makeRoute("default/canary"), status: 200, attempt: 1, bytesSent: 11 },
    );
    const page = scrape();
    const [sample] = page.select("istio_requests_total");
    assert.equal(sample?.value, 1);
    assert.deepEqual(
      { ...sample?.labels },
      {
        reporter: "source",
        source_workload: "gateway",
        source_workload_namespace: "default",
        source_principal: spiffeId,
        destination_workload: "orders",
        destination_workload_namespace: "default",
        destination_principal: "spiffe://mesh.test/ns/default/sa/orders",
        destination_service: "orders.default.svc.cluster.local",
        destination_service_name: "orders",
        destination_service_namespace: "default",
        request_protocol: "http",
        response_code: "200",
        response_flags: "-",
        connection_security_policy: "mutual_tls",
      },
    );
    assert.equal(quantile(0.5, page.buckets("istio_request_duration_milliseconds")), 7.5, "7 ms fell between 5 and 10");
    assert.equal(page.sum("request_total", { direction: "outbound", tls: "true", dst_service: "orders" }), 1);
    assert.equal(page.sum("response_total", { classification: "success", status_code: "200" }), 1);
    assert.equal(page.sum("response_latency_ms_count", { direction: "outbound" }), 1);
    assert.equal(
      page.sum("route_response_total", { rt_route: "default/canary", dst: "orders.default.svc.cluster.local" }),
      1,
    );
    assert.equal(page.sum("fetchmesh_response_bytes_total", { direction: "outbound" }), 11);
  });

  it("counts an inbound request as the destination reporter, by the caller's proven identity", async () => {
    const { metrics, scrape } = meshMetrics();
    const connection = { peer: webPeer, encrypted: true };
    await finish(metrics, { direction: "inbound", connection }, { status: 503, flag: "UF" });
    await finish(metrics, { direction: "inbound" }, { status: 200 });
    const page = scrape();
    const [failed] = page.select("istio_requests_total", { response_code: "503" });
    assert.equal(failed?.labels["reporter"], "destination");
    assert.equal(failed?.labels["source_workload"], "web");
    assert.equal(failed?.labels["source_workload_namespace"], "shop");
    assert.equal(failed?.labels["source_principal"], webPeer.id.text);
    assert.equal(failed?.labels["destination_workload"], "gateway");
    assert.equal(failed?.labels["response_flags"], "UF");
    const [plain] = page.select("istio_requests_total", { response_code: "200" });
    assert.equal(plain?.labels["source_workload"], "unknown");
    assert.equal(plain?.labels["connection_security_policy"], "none");
    assert.equal(
      page.sum("response_total", { direction: "inbound", client_id: webPeer.id.text, classification: "failure" }),
      1,
    );
  });

  it("keeps outcomes apart that differ in one flag, and counts bytes that never became a request", async () => {
    const { metrics, scrape } = meshMetrics();
    const error = new MeshError("ERR_CONNECT_FAILED", "refused");
    await finish(metrics, {}, { status: 503, flag: "URX", error });
    await finish(metrics, {}, { status: 503, flag: "RB", error });
    await finish(metrics, {}, { status: 503, flag: "URX" });
    metrics.events.requestRefused?.("inbound", new MeshError("ERR_REQUEST_MALFORMED", "no"), "10.0.0.9");
    const page = scrape();
    const flags = page
      .select("istio_requests_total")
      .map(({ labels, value }) => `${labels["response_flags"]} ${value}`);
    assert.deepEqual(flags.sort(), ["UF,RB 1", "UF,URX 1", "URX 1"]);
    assert.equal(
      page.sum("fetchmesh_requests_refused_total", { direction: "inbound", code: "ERR_REQUEST_MALFORMED" }),
      1,
    );
  });

  it("calls a response that broke off a failure, whatever its status said", async () => {
    const { metrics, scrape } = meshMetrics();
    await finish(metrics, {}, { status: 200, flag: "UC" });
    await finish(metrics, {}, { status: 200, flag: "DC" });
    assert.equal(scrape().sum("response_total", { classification: "failure" }), 1);
    assert.equal(scrape().sum("response_total", { classification: "success" }), 1);
  });

  it("keeps the number of series when 50 000 hosts, paths and methods are invented", async () => {
    const { metrics, scrape } = meshMetrics();
    for (let i = 0; i < 50_000; i++) {
      const name = `h${i}.example`;
      await finish(
        metrics,
        { authority: name, method: `M${i}`, target: `/${name}?${i}` },
        { status: 404, flag: "NR", requestId: name },
      );
    }
    const page = scrape();
    assert.equal(page.sum("istio_requests_total"), 50_000);
    assert.equal(page.select("istio_requests_total").length, 1);
    assert.ok(page.samples.length < 200, `${page.samples.length} samples`);
  });

  it("caps what a broken upstream can invent: statuses that are none are 0, and no family outgrows its cap", async () => {
    const clusters = Array.from({ length: 1_500 }, (_, i) => makeCluster(`s${i}`));
    const { metrics, scrape } = meshMetrics();
    for (const [i, cluster] of clusters.entries())
      await finish(metrics, {}, { cluster, route: makeRoute(`r${i}`), status: 10_000 + i });
    const page = scrape();
    assert.equal(page.sum("istio_requests_total"), 1_500);
    assert.equal(page.select("istio_requests_total").length, 1_000);
    assert.equal(page.sum("istio_requests_total", { destination_workload: "other" }), 501);
    assert.equal(page.sum("istio_requests_total", { response_code: "0" }), 999);
  });

  it("goes on counting a series that was dropped for idleness", async () => {
    const cluster = makeCluster("orders");
    const { metrics, clock, scrape } = meshMetrics();
    await finish(metrics, {}, { cluster, status: 200 });
    assert.equal(scrape().sum("istio_requests_total"), 1);
    clock.advance(600_000);
    assert.equal(scrape().select("istio_requests_total").length, 0);
    await finish(metrics, {}, { cluster, status: 200 });
    assert.equal(scrape().sum("istio_requests_total"), 1);
  });

  it("counts what is in flight, from the head to the last byte", async () => {
    const { metrics, scrape } = meshMetrics();
    const x = makeExchange();
    await observe({ events: metrics.events })(async () => new Response("streaming"))(x);
    assert.equal(scrape().sum("fetchmesh_requests_in_flight", { direction: "outbound" }), 1);
    x.finish();
    x.finish();
    assert.equal(scrape().sum("fetchmesh_requests_in_flight", { direction: "outbound" }), 0);
  });

  it("counts attempts, retries and their refusals per service", async () => {
    const endpoint = makeEndpoint("10.0.0.1:15006");
    const cluster = makeCluster("orders", [endpoint]);
    const { metrics, scrape } = meshMetrics();
    const x = makeExchange();
    x.cluster = cluster;
    metrics.events.attemptFinished?.(x, endpoint, 503, null);
    metrics.events.attemptFinished?.(x, endpoint, 0, new MeshError("ERR_CONNECT_FAILED", "refused"));
    metrics.events.retryPlanned?.(x, "ERR_CONNECT_FAILED");
    metrics.events.retryRefused?.(x, "budget");
    await finish(metrics, {}, { cluster, status: 200, attempt: 2 });
    await finish(metrics, {}, { cluster, status: 503, attempt: 3 });
    await finish(metrics, {}, { cluster, status: 200, attempt: 1 });
    const page = scrape();
    const attempts = { service: "orders", namespace: "default", endpoint: "10.0.0.1:15006" };
    assert.equal(page.sum("fetchmesh_attempts_total", { ...attempts, result: "5xx" }), 1);
    assert.equal(page.sum("fetchmesh_attempts_total", { ...attempts, result: "ERR_CONNECT_FAILED" }), 1);
    assert.equal(page.sum("fetchmesh_retries_total", { service: "orders", reason: "ERR_CONNECT_FAILED" }), 1);
    assert.equal(page.sum("fetchmesh_retries_refused_total", { service: "orders", reason: "budget" }), 1);
    assert.equal(page.sum("fetchmesh_retried_requests_total", { result: "success" }), 1);
    assert.equal(page.sum("fetchmesh_retried_requests_total", { result: "failure" }), 1);
  });

  it("shows breakers and endpoints as they are when scraped", () => {
    const endpoints = [
      makeEndpoint("10.0.0.1:1"),
      makeEndpoint("10.0.0.2:1", "open"),
      makeEndpoint("10.0.0.3:1", "half-open"),
    ];
    const cluster = makeCluster("orders", endpoints);
    const { metrics, scrape } = meshMetrics([cluster]);
    metrics.events.breakerChanged?.(cluster, endpoints[1]!, "closed", "open", "quorum");
    metrics.events.breakerChanged?.(cluster, endpoints[1]!, "half-open", "open", "local");
    const page = scrape();
    const states = page
      .select("fetchmesh_breaker_state")
      .map(({ labels, value }) => [labels["endpoint"], labels["source"], value]);
    assert.deepEqual(states, [
      ["10.0.0.1:1", "local", 0],
      ["10.0.0.2:1", "quorum", 2],
      ["10.0.0.3:1", "local", 1],
    ]);
    assert.equal(page.sum("fetchmesh_endpoints", { service: "orders", state: "closed" }), 1);
    assert.equal(
      page.sum("outbound_http_balancer_endpoints", { backend_name: "orders", endpoint_state: "pending" }),
      2,
    );
    assert.equal(page.sum("fetchmesh_endpoint_in_flight"), 6);
    assert.equal(page.sum("fetchmesh_ejections_total"), 1, "a failed probe is no second ejection");
    assert.equal(page.sum("fetchmesh_breaker_changes_total"), 2);
    cluster.endpoints = [];
    assert.equal(scrape().select("fetchmesh_breaker_state").length, 0, "what left is not shown");
  });

  it("counts connections, and refused handshakes by one of few reasons", () => {
    const { metrics, scrape } = meshMetrics();
    metrics.events.connectionOpened?.("inbound", true);
    metrics.events.connectionOpened?.("inbound", true);
    metrics.events.connectionClosed?.("inbound", true);
    for (let i = 0; i < 2_000; i++)
      metrics.events.handshakeRefused?.("inbound", `unable to verify "CN=${i}"`, `10.0.0.${i}`);
    metrics.events.handshakeRefused?.("inbound", "no client certificate", "10.0.0.1");
    metrics.events.handshakeRefused?.("inbound", "certificate expired", "10.0.0.1");
    metrics.events.handshakeRefused?.("inbound", "certificate not yet valid", "10.0.0.1");
    metrics.events.handshakeRefused?.("inbound", "certificate not signed by our trust", "10.0.0.1");
    metrics.events.handshakeRefused?.("inbound", "peer belongs to trust domain evil.test, not mesh.test", "10.0.0.1");
    metrics.events.handshakeRefused?.("inbound", "key usage is not critical", "10.0.0.1");
    metrics.events.handshakeRefused?.("inbound", "plaintext", "10.0.0.1");
    const page = scrape();
    assert.equal(page.sum("tcp_open_connections", { direction: "inbound", tls: "true" }), 1);
    assert.equal(page.sum("tcp_open_total"), 2);
    assert.equal(page.sum("tcp_close_total"), 1);
    const reasons = page
      .select("fetchmesh_handshakes_refused_total")
      .map(({ labels, value }) => `${labels["reason"]} ${value}`);
    assert.deepEqual(reasons.sort(), [
      "expired 1",
      "no_certificate 1",
      "not_spiffe 1",
      "not_tls 1",
      "not_yet_valid 1",
      "untrusted 2001",
      "wrong_trust_domain 1",
    ]);
  });

  it("knows the config's version and age, the store and the certificate", () => {
    const { metrics, clock, scrape } = meshMetrics();
    assert.equal(scrape().sum("fetchmesh_config_version"), 0);
    assert.equal(scrape().select("fetchmesh_config_age_seconds").length, 0);
    metrics.events.configApplied?.(42, 12);
    metrics.events.configRefused?.(43, "garbage");
    metrics.events.storeChanged?.(false);
    metrics.events.certificateChanged?.(1_700_000_000_000);
    clock.advance(5_000);
    const page = scrape();
    assert.equal(page.sum("fetchmesh_config_version"), 42);
    assert.equal(page.sum("fetchmesh_config_age_seconds"), 5);
    assert.equal(page.sum("fetchmesh_config_refused_total"), 1);
    assert.equal(page.sum("fetchmesh_store_connected"), 0);
    assert.equal(page.select("fetchmesh_store_connected").length, 1);
    assert.equal(page.sum("identity_cert_expiration_timestamp_seconds"), 1_700_000_000);
    assert.equal(page.sum("identity_cert_refresh_count"), 1);
    assert.equal(page.sum("process_cpu_seconds_total"), 1.5);
    assert.equal(page.sum("fetchmesh_build_info", { runtime: "node 26" }), 1);
  });
});

describe("observe()", () => {
  const cases: readonly [string, MeshErrorCode, Partial<Exchange>, number, string][] = [
    ["a caller that left before the reply is a 499", "ERR_DOWNSTREAM_CLOSED", {}, 499, "DC"],
    [
      "a caller that left during the reply keeps the status it saw",
      "ERR_DOWNSTREAM_CLOSED",
      { status: 200 },
      200,
      "DC",
    ],
    ["a flag already set stays", "ERR_DOWNSTREAM_CLOSED", { status: 200, flag: "UC" }, 200, "UC"],
    ["a deadline that cut the body is the upstream's", "ERR_DEADLINE_EXCEEDED", { status: 200 }, 200, "UT"],
  ];
  for (const [name, code, facts, status, flag] of cases) {
    it(name, () => {
      const seen: Exchange[] = [];
      const x = makeExchange();
      void observe({ events: { requestFinished: (done) => void seen.push(done) } })(async () => new Response())(x);
      Object.assign(x, facts);
      x.abort(new MeshError(code, "it ended"));
      x.finish();
      assert.equal(seen.length, 1);
      assert.equal(seen[0]?.status, status);
      assert.equal(seen[0]?.flag, flag);
    });
  }

  it("is told after everybody below it: finishers run in reverse order", () => {
    const order: string[] = [];
    const x = makeExchange();
    const layer = observe({ events: { requestFinished: () => void order.push("observe") } });
    void layer(async (inner) => {
      inner.atFinish({ finished: () => void order.push("below") });
      return new Response();
    })(x);
    x.finish();
    assert.deepEqual(order, ["below", "observe"]);
  });
});
