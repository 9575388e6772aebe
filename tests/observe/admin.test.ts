import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Resource } from "../../src/control/resources.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import { createAdmin, createHealth, type AdminHandler, type AdminOptions } from "../../src/observe/admin.ts";
import { makeCluster, makeEndpoint, TestClock } from "./exchanges.ts";

const documents = [{ kind: "Service", metadata: { name: "orders" } }] as unknown as readonly Resource[];
const snapshot = { version: 4, epoch: "e-1", digest: "sha256-x", documents } as unknown as Snapshot;

function admin(options: Partial<AdminOptions> = {}): AdminHandler {
  const endpoints = [makeEndpoint("10.0.0.2:15006", "open"), makeEndpoint("10.0.0.1:15006")];
  return createAdmin({
    by: "sidecar web/web-1",
    clock: new TestClock(),
    metrics: () => "# HELP a A.\n# TYPE a gauge\na 1\n",
    waitingFor: () => [],
    snapshot: () => snapshot,
    clusters: () => [makeCluster("orders", endpoints), makeCluster("billing")],
    certificates: () => [],
    drain: () => {},
    ...options,
  });
}

const get = (path: string, headers: Record<string, string> = {}, host = "127.0.0.1:15000"): Request =>
  new Request(`http://${host}${path}`, { headers });

async function json(response: Response): Promise<unknown> {
  return await response.json();
}

describe("createAdmin()", () => {
  it("serves the metrics page with the format's content type", async () => {
    const response = await admin()(get("/metrics"), "127.0.0.1");
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert.match(await response.text(), /^# HELP a A\.\n/);
  });

  it("is ready when nothing is missing, and says what is", async () => {
    assert.equal((await admin()(get("/ready"), "127.0.0.1")).status, 200);
    const response = await admin({ waitingFor: () => ["config", "certificate"] })(get("/ready"), "127.0.0.1");
    assert.equal(response.status, 503);
    assert.deepEqual(await json(response), { ready: false, waitingFor: ["config", "certificate"] });
    assert.equal((await admin({ waitingFor: () => ["config"] })(get("/live"), "127.0.0.1")).status, 200);
  });

  it("shows the applied config and its version", async () => {
    assert.deepEqual(await json(await admin()(get("/config"), "127.0.0.1")), {
      version: 4,
      epoch: "e-1",
      digest: "sha256-x",
      resources: documents,
    });
    assert.deepEqual(await json(await admin()(get("/config/version"), "127.0.0.1")), {
      version: 4,
      epoch: "e-1",
      digest: "sha256-x",
    });
  });

  it("lists endpoints with the fields that others script", async () => {
    const answer = (await json(await admin()(get("/endpoints"), "127.0.0.1"))) as {
      services: Record<string, unknown>[];
    };
    assert.deepEqual(
      answer.services.map((service) => service["service"]),
      ["billing", "orders"],
    );
    assert.deepEqual(answer.services[1]?.["endpoints"], [
      {
        address: "10.0.0.1:15006",
        instance: "orders-1",
        zone: null,
        weight: 1,
        identity: "spiffe://mesh.test/ns/default/sa/orders",
        breaker: "closed",
        source: "local",
        ejected: false,
        openForMs: null,
        inFlight: 2,
        latencyEwmaMs: 1.25,
      },
      {
        address: "10.0.0.2:15006",
        instance: "orders-1",
        zone: null,
        weight: 1,
        identity: "spiffe://mesh.test/ns/default/sa/orders",
        breaker: "open",
        source: "quorum",
        ejected: true,
        openForMs: 5_000,
        inFlight: 2,
        latencyEwmaMs: 1.25,
      },
    ]);
  });

  it("lists breakers", async () => {
    const answer = (await json(await admin()(get("/breakers"), "127.0.0.1"))) as {
      breakers: Record<string, unknown>[];
    };
    assert.deepEqual(
      answer.breakers.map(({ endpoint, state, source }) => [endpoint, state, source]),
      [
        ["10.0.0.1:15006", "closed", "local"],
        ["10.0.0.2:15006", "open", "quorum"],
      ],
    );
  });

  it("drains when told by POST, and not by GET", async () => {
    let drains = 0;
    const handler = admin({ drain: () => void drains++ });
    const refused = await handler(get("/drain"), "127.0.0.1");
    assert.equal(refused.status, 405);
    assert.equal(refused.headers.get("allow"), "POST");
    assert.equal(drains, 0);
    assert.equal((await handler(new Request("http://localhost:15000/drain", { method: "POST" }), "::1")).status, 202);
    assert.equal(drains, 1);
  });

  it("answers an unknown path with what there is", async () => {
    const response = await admin()(get("/config_dump"), "127.0.0.1");
    assert.equal(response.status, 404);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    const problem = (await json(response)) as Record<string, string>;
    assert.match(problem["advice"] ?? "", /GET \/metrics.*GET \/endpoints.*POST \/drain/);
  });

  it("keeps a failure behind one path to that path", async () => {
    const handler = admin({
      metrics: () => {
        throw new Error("secret");
      },
    });
    const response = await handler(get("/metrics"), "127.0.0.1");
    assert.equal(response.status, 500);
    assert.ok(!(await response.text()).includes("secret"));
    assert.equal((await handler(get("/ready"), "127.0.0.1")).status, 200);
  });
});

describe("adminAccess()", () => {
  const status = async (request: Request, from: string, options: Partial<AdminOptions> = {}): Promise<number> =>
    (await admin(options)(request, from)).status;

  it("lets callers on this machine in, under loopback's names", async () => {
    for (const host of ["127.0.0.1:15000", "localhost:15000", "LOCALHOST", "localhost.", "[::1]:15000"])
      assert.equal(await status(get("/ready", {}, host), "127.0.0.1"), 200, host);
    for (const from of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "unix"])
      assert.equal(await status(get("/ready"), from), 200, from);
    assert.equal(await status(get("/ready", {}, "anything"), "unix"), 200, "no browser speaks to a Unix socket");
  });

  it("refuses a rebound name: it resolves to this machine, and is not its", async () => {
    for (const host of [
      "evil.example",
      "evil.example:15000",
      "127.0.0.1.evil.example",
      "0.0.0.0:15000",
      "169.254.169.254",
      "[::ffff:7f00:1]",
    ]) {
      assert.equal(await status(get("/config", {}, host), "127.0.0.1"), 403, host);
    }
    assert.equal(await status(get("/config", {}, "mesh.internal"), "127.0.0.1", { hosts: ["mesh.internal"] }), 200);
  });

  it("refuses web pages of other sites, whatever host they name", async () => {
    let drains = 0;
    const post = (headers: Record<string, string>): Promise<number> =>
      status(new Request("http://127.0.0.1:15000/drain", { method: "POST", headers }), "127.0.0.1", {
        drain: () => void drains++,
      });
    assert.equal(await post({ origin: "https://evil.example" }), 403);
    assert.equal(await post({ origin: "null" }), 403);
    assert.equal(await post({ "sec-fetch-site": "cross-site" }), 403);
    assert.equal(drains, 0);
    assert.equal(await post({ origin: "http://127.0.0.1:15000" }), 202);
    assert.equal(drains, 1);
  });

  it("refuses other machines, unless they have the token", async () => {
    for (const from of ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "1270.0.0.1", ""]) {
      assert.equal(await status(get("/metrics"), from), 403, from);
      assert.equal(await status(get("/metrics", { authorization: "Bearer " }), from), 403, from);
    }
    const token = { token: "s3cret" };
    assert.equal(await status(get("/metrics", {}, "10.0.0.2:15000"), "10.0.0.1", token), 403);
    assert.equal(await status(get("/metrics", { authorization: "Bearer s3cre" }), "10.0.0.1", token), 403);
    assert.equal(await status(get("/metrics", { authorization: "Bearer s3creT" }), "10.0.0.1", token), 403);
    assert.equal(
      await status(get("/metrics", { authorization: "Bearer s3cret" }, "10.0.0.2:15000"), "10.0.0.1", token),
      200,
    );
  });
});

describe("createHealth()", () => {
  it("answers probes, and nothing else", async () => {
    let waitingFor: readonly string[] = ["config"];
    const health = createHealth({ by: "sidecar web/web-1", waitingFor: () => waitingFor });
    assert.equal((await health(get("/livez", {}, "10.0.0.1"))).status, 200);
    assert.equal((await health(get("/readyz", {}, "10.0.0.1"))).status, 503);
    waitingFor = [];
    assert.equal((await health(get("/readyz", {}, "10.0.0.1"))).status, 200);
    assert.equal((await health(new Request("http://x/readyz", { method: "HEAD" }))).status, 200);
    for (const path of ["/metrics", "/config", "/drain", "/"])
      assert.equal((await health(get(path))).status, 404, path);
  });
});
