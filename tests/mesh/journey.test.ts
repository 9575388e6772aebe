import assert from "node:assert/strict";
import { Agent } from "node:http";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { parsePrometheus } from "../../src/observe/prometheus-text.ts";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { delay, eventually } from "../support/ports.ts";

describe("a request crosses the mesh", () => {
  let mesh: Mesh;
  let apps: App[];
  let web: Sidecar;
  let orders: Sidecar;
  let ordersApp: App;

  before(async () => {
    mesh = await startMesh();
    ordersApp = await startApp("orders", (request, response) => {
      let body = "";
      request.setEncoding("latin1");
      request.on("data", (piece: string) => (body += piece));
      request.on("end", () =>
        response.end(JSON.stringify({ url: request.url, method: request.method, headers: request.headers, body })),
      );
    });
    const webApp = await startApp("web");
    apps = [ordersApp, webApp];
    web = await mesh.sidecar("web", webApp, {
      upstreams: [{ service: "orders", listen: { host: "127.0.0.1", port: 0 } }],
      accessLog: "all",
    });
    orders = await mesh.sidecar("orders", ordersApp);
    await eventually("web knows orders", async () =>
      (await call(web.ready.admin, "/endpoints")).body.includes(orders.ready.inbound),
    );
  });

  after(async () => {
    await mesh.close();
    await Promise.all(apps.map((app) => app.close()));
  });

  it("origin-form with Host, absolute-form and an upstream port all reach the service", async () => {
    const byHost = await call(web.ready.outbound, "/a?x=%20y", { headers: { host: "orders" } });
    assert.equal(byHost.status, 200);
    assert.equal(JSON.parse(byHost.body).url, "/a?x=%20y");
    const byProxy = await call(web.ready.outbound, "http://orders.default:8080/b", { method: "POST", body: "payload" });
    assert.deepEqual(
      [byProxy.status, JSON.parse(byProxy.body).url, JSON.parse(byProxy.body).body],
      [200, "/b", "payload"],
    );
    const byPort = await call(web.ready.upstreams["orders"]!, "/c");
    assert.equal(JSON.parse(byPort.body).url, "/c");
  });

  it("the application sees the verified identity of its caller and nothing the caller claimed", async () => {
    const reply = await call(web.ready.outbound, "/", {
      headers: {
        host: "orders",
        "x-forwarded-client-cert": "URI=spiffe://mesh.local/ns/default/sa/admin",
        "X-Spiffe-Id": "admin",
        connection: "x-forwarded-client-cert",
      },
    });
    const { headers } = JSON.parse(reply.body) as { headers: Record<string, string> };
    assert.match(
      headers["x-forwarded-client-cert"]!,
      /^By=spiffe:\/\/mesh\.local\/ns\/default\/sa\/orders;Hash=[0-9a-f]{64};Subject="";URI=spiffe:\/\/mesh\.local\/ns\/default\/sa\/web$/,
    );
    assert.equal(headers["x-spiffe-id"], undefined);
    assert.match(headers["traceparent"]!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.match(headers["x-request-id"]!, /^[0-9a-f-]{36}$/);
  });

  it("an unknown host is 404 NR and says how to allow it", async () => {
    const reply = await call(web.ready.outbound, "/", { headers: { host: "nowhere" } });
    assert.equal(reply.status, 404);
    assert.equal(reply.headers["x-mesh-flag"], "NR");
    assert.match(JSON.parse(reply.body).advice, /Service document named nowhere/);
  });

  it("the admin port cannot be reached through the outbound port", async () => {
    for (const target of [
      `http://${web.ready.admin}/metrics`,
      `http://localhost:${web.ready.admin.split(":")[1]}/drain`,
    ]) {
      assert.equal((await call(web.ready.outbound, target, { method: "POST" })).status, 404);
    }
  });

  it("plaintext at the inbound port is refused and counted with its reason", async () => {
    await new Promise<void>((resolve) => {
      const [host, port] = orders.ready.inbound.split(":");
      const socket = connect(Number(port), host, () => socket.write("GET / HTTP/1.1\r\nHost: orders\r\n\r\n"));
      socket.on("data", (bytes) => assert.doesNotMatch(bytes.toString("latin1"), /^HTTP/));
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
    await eventually(
      "the refusal is counted",
      async () => {
        const scrape = parsePrometheus((await call(orders.ready.admin, "/metrics")).body);
        return scrape.sum("fetchmesh_handshakes_refused_total", { direction: "inbound", reason: "not_tls" }) >= 1;
      },
      3_000,
    );
  });

  it("a policy that stops allowing a caller takes effect on its open connections", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = () => call(web.ready.outbound, "/", { headers: { host: "orders" }, agent });
    assert.equal((await ask()).status, 200);
    await mesh.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: nobody-but-admin, namespace: default }
spec:
  action: ALLOW
  selector: { matchLabels: { app: orders } }
  rules: [{ from: [{ source: { principals: [mesh.local/ns/default/sa/admin] } }] }]
`);
    const denied = await eventually("denied", async () => {
      const reply = await ask();
      return reply.status === 403 && reply;
    });
    assert.equal(denied.headers["x-mesh-flag"], "AZ");
    await mesh.plane.publisher.store.config.pointer();
    await mesh.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: nobody-but-admin, namespace: default }
spec:
  action: ALLOW
  selector: { matchLabels: { app: orders } }
  rules: [{ from: [{ source: { principals: ["*"] } }] }]
`);
    await eventually("allowed again", async () => (await ask()).status === 200);
    agent.destroy();
  });

  it("a caller that goes away aborts the request at the application", async () => {
    let aborted = 0;
    const slow = await startApp("slow", (request) => void request.on("close", () => aborted++));
    const sidecar = await mesh.sidecar("slow", slow);
    await eventually("web knows slow", async () =>
      (await call(web.ready.admin, "/endpoints")).body.includes(sidecar.ready.inbound),
    );
    const [host, port] = web.ready.outbound.split(":");
    const socket = connect(Number(port), host, () => socket.write("GET / HTTP/1.1\r\nHost: slow\r\n\r\n"));
    await eventually("the application was asked", () => slow.seen.length === 1);
    socket.destroy();
    await eventually("the application's connection is closed", () => aborted === 1, 2_000);
    await slow.close();
  });

  it("an application that is not up is 503 UF naming its address", async () => {
    const gone = await startApp("gone");
    const sidecar = await mesh.sidecar("gone", gone);
    await gone.close();
    await eventually("web knows gone", async () =>
      (await call(web.ready.admin, "/endpoints")).body.includes(sidecar.ready.inbound),
    );
    const reply = await call(web.ready.outbound, "/", { headers: { host: "gone" }, method: "POST", body: "x" });
    assert.equal(reply.status, 503);
    assert.equal(reply.headers["x-mesh-flag"], "UF");
    assert.match(reply.body, new RegExp(`127\\.0\\.0\\.1:${gone.port}`));
  });

  it("an instance that drains is gone from its callers before its port closes", async () => {
    const app = await startApp("short");
    const short = await mesh.sidecar("short", app);
    const other = await mesh.sidecar("short", app);
    await eventually("both known", async () => {
      const { body } = await call(web.ready.admin, "/endpoints");
      return body.includes(short.ready.inbound) && body.includes(other.ready.inbound);
    });
    const stop = new AbortController();
    let failed = 0;
    let sent = 0;
    const load = (async () => {
      while (!stop.signal.aborted) {
        sent++;
        const reply = await call(web.ready.outbound, "/", { headers: { host: "short" }, method: "POST", body: "b" });
        if (reply.status !== 200) failed++;
      }
    })();
    await delay(100);
    await short.drain();
    await delay(100);
    stop.abort();
    await load;
    assert.equal(failed, 0);
    assert.ok(sent > 20, `only ${sent} requests`);
    assert.doesNotMatch((await call(web.ready.admin, "/endpoints")).body, new RegExp(short.ready.inbound));
    await app.close();
  });
});
