import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { makeServiceLeaf } from "../support/certificates.ts";
import { eventually } from "../support/ports.ts";
import { quiet, rawClient, valuesOf } from "../support/raw.ts";
import { doors, startRig, type Rig } from "./_rig.ts";

const policy = (name: string, spec: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name} }
spec: ${spec}
---`;

const principal = "mesh.local/ns/default/sa/web";
const selector = "selector: { matchLabels: { app: orders } }";
const standing =
  policy(
    "allow-api",
    `{ action: ALLOW, ${selector}, rules: [{ from: [{ source: { principals: [${principal}] } }], to: [{ operation: { methods: [GET, POST], paths: ["/api/*"] } }] }] }`,
  ) +
  policy(
    "deny-admin",
    `{ action: DENY, ${selector}, rules: [{ to: [{ operation: { paths: ["/admin", "/admin/*"] } }] }] }`,
  ) +
  policy(
    "deny-secret",
    `{ action: DENY, ${selector}, rules: [{ to: [{ operation: { paths: ["/api/secret", "/api/secret/*"] } }] }] }`,
  );

/** Under the ALLOW of `/api/*`, and yet to many servers the same as `/admin` or `/api/secret`. */
const spellings = [
  "/admin",
  "//admin",
  "/./admin",
  "/api/../admin",
  "/%61dmin",
  "/api/%2e%2e/admin",
  "/admin/",
  "/admin/x",
  "/ADMIN",
  "/api/..%2fadmin",
  "/api/..%5cadmin",
  "/api/..\\admin",
  "/api/%2E%2E%2Fadmin",
  "/api/x/../../admin",
  "/api//../admin",
  "/api/.%2e/admin",
  "/api/%252e%252e/admin",
  "/api/..;/admin",
  "/admin;x=1",
  "/api/;/../admin",
  "/api/%c0%ae%c0%ae/admin",
  "/api/..%00/admin",
  "/%2fadmin",
  "/api/%2e%2e%2f%61dmin",
  "/api/secret",
  "/api//secret",
  "/api/./secret",
  "/api/x/../secret",
  "/api/%73ecret",
  "/api/secret;v=1",
  "/api/secret/",
  "/api/Secret",
  "/api\\secret",
  "/api/%2573ecret",
  "/api/secret?x=/api/open",
  "/api/secret%2f",
];

describe("a rule about a path", () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
    await rig.apply(standing);
  });
  after(() => rig.close());

  for (const door of doors) {
    it(`holds for every spelling of it at the ${door} port (A-33, L3)`, async () => {
      rig.upstream.forget();
      for (const target of spellings) {
        const client = await rig.open(door);
        client.write(`GET ${target} HTTP/1.1\r\nHost: orders\r\n\r\n`);
        const { status } = await client.reply();
        assert.ok(status === 403 || status === 400, `${target}: ${status}`);
        client.destroy();
      }
      await quiet();
      assert.equal(rig.upstream.bytes, 0);
    });

    it(`lets through what it allows, spelt as it came, at the ${door} port`, async () => {
      for (const target of ["/api/x", "/api/open?next=/admin", "/api/a%20b", "/api/administrator"]) {
        rig.upstream.forget();
        const client = await rig.open(door);
        client.write(`GET ${target} HTTP/1.1\r\nHost: orders\r\n\r\n`);
        assert.equal((await client.reply()).status, 200, target);
        assert.equal(rig.upstream.requests[0]!.startLine, `GET ${target} HTTP/1.1`);
        client.destroy();
      }
    });

    it(`holds for methods that were not named, at the ${door} port (A-34)`, async () => {
      rig.upstream.forget();
      for (const method of ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "FOO", "TRACE", "CONNECT"]) {
        const client = await rig.open(door);
        client.write(`${method} /api/x HTTP/1.1\r\nHost: orders\r\n\r\n`);
        const { status } = await client.reply({ hasBody: method !== "HEAD" });
        assert.ok([400, 403, 405, 501].includes(status), `${method}: ${status}`);
        client.destroy();
      }
      assert.equal(rig.upstream.bytes, 0);
    });
  }

  it("is asked of each request on a connection, not of the first", async () => {
    rig.upstream.forget();
    const client = await rig.open("inbound");
    const statuses: number[] = [];
    client.write(
      ["/api/1", "/admin", "/api/2", "/api/secret", "/api/3"]
        .map((path) => `GET ${path} HTTP/1.1\r\nHost: orders\r\n\r\n`)
        .join(""),
    );
    for (let i = 0; i < 5; i++) statuses.push((await client.reply()).status);
    assert.deepEqual(statuses, [200, 403, 200, 403, 200]);
    assert.deepEqual(
      rig.upstream.requests.map(({ startLine }) => startLine.split(" ")[1]),
      ["/api/1", "/api/2", "/api/3"],
    );
    client.destroy();
  });

  it("keeps out an identity it does not name, however alike (A-35, L7)", async () => {
    rig.upstream.forget();
    for (const service of ["webb", "we", "xweb", "web-admin", "admin"]) {
      const { identity } = await makeServiceLeaf(rig.ca, service);
      const client = await rawClient(rig.orders.ready.inbound, { tls: { identity, trust: rig.ca.trust } });
      client.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
      const reply = await client.reply();
      assert.deepEqual(
        [reply.status, valuesOf(reply, "x-mesh-flag"), valuesOf(reply, "server")],
        [403, ["AZ"], ["fetchmesh"]],
        service,
      );
      assert.ok(!reply.body.includes("allow-api"), "an answer names no policy");
      client.destroy();
    }
    assert.equal(rig.upstream.bytes, 0);
  });

  it("takes effect within a second on a connection that is open, both ways (A-36, I9)", async () => {
    const client = await rig.open("outbound");
    const status = async (): Promise<number> => {
      client.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
      return (await client.reply()).status;
    };
    assert.equal(await status(), 200);
    for (const [spec, expected] of [
      ["{ action: DENY, rules: [{}] }", 403],
      ["{ action: DENY, rules: [] }", 200],
    ] as const) {
      const publishedAtMs = performance.now();
      void rig.apply(policy("switch", spec));
      await eventually(`${expected}`, async () => (await status()) === expected, 5_000, 5);
      const tookMs = performance.now() - publishedAtMs;
      assert.ok(tookMs <= 1_000, `${tookMs} ms`);
    }
    client.destroy();
  });

  it("that allows nothing denies all: an empty policy, one without rules, one that is not there for this path (A-35)", async () => {
    const ask = async (path: string): Promise<number> => {
      const client = await rig.open("outbound");
      client.write(`GET ${path} HTTP/1.1\r\nHost: orders\r\n\r\n`);
      const { status } = await client.reply();
      client.destroy();
      return status;
    };
    assert.equal(await ask("/other"), 403);
    for (const spec of ["{}", "{ action: ALLOW }", "{ action: ALLOW, rules: [] }"]) {
      await rig.apply(policy("allow-api", spec));
      assert.equal(await ask("/api/x"), 403, spec);
    }
  });
});
