/** What a BackendPolicy says about connections holds for connections. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { backendDefaults, type BackendConfig } from "../../src/policy/backend-config.ts";
import { createBreaker } from "../../src/policy/breaker.ts";
import { EndpointState } from "../../src/balance/endpoint.ts";
import { systemClock } from "../../src/clock.ts";
import { peerDials } from "../../src/peer-dial.ts";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { eventually } from "../support/ports.ts";

describe("BackendPolicy limits.maxConnections", () => {
  let mesh: Mesh;
  let caller: Sidecar;
  let open = 0;
  let most = 0;
  const apps: App[] = [];
  const alive = setInterval(() => {}, 1_000);
  before(async () => {
    mesh = await startMesh();
    const web = await startApp("web");
    const plain = await startApp("plain", (_request, response) => void setTimeout(() => response.end("ok"), 50));
    plain.server.on("connection", (socket) => {
      most = Math.max(most, ++open);
      socket.on("close", () => open--);
    });
    apps.push(web, plain);
    caller = await mesh.sidecar("web", web);
    await mesh.apply(`apiVersion: fetchmesh.dev/v1alpha1
kind: Service
metadata: {name: plain}
spec:
  endpoints: [{address: "127.0.0.1:${plain.port}"}]
---
apiVersion: fetchmesh.dev/v1alpha1
kind: BackendPolicy
metadata: {name: plain}
spec:
  targetRefs: [{group: "", kind: Service, name: plain}]
  limits: {maxConnections: 2}
`);
    await eventually("config is applied", async () => (await get()).status === 200);
  });
  after(async () => {
    await mesh.close();
    for (const app of apps) await app.close();
    clearInterval(alive);
  });

  const get = () => call(caller.ready.outbound, "/", { headers: { host: "plain" } });

  it("requests above it wait for one of those that are there", async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, get));
    assert.deepEqual(
      replies.map(({ status }) => status),
      Array.from({ length: 8 }, () => 200),
    );
    assert.equal(most, 2);
  });
});

describe("peerDials()", () => {
  it("dials within the time and the number that the config allows, and makes a dial once per config", () => {
    const endpoint = new EndpointState(
      { address: "127.0.0.1:1", host: "127.0.0.1", port: 1, instance: null, zone: null, weight: 1, identity: null },
      createBreaker(),
    );
    const dials = peerDials(systemClock, () => null);
    const dialOf = (config: BackendConfig) =>
      dials({ endpoint, route: { backend: { config } } as Parameters<typeof dials>[0]["route"] });
    const tight = {
      ...backendDefaults,
      connectTimeoutMs: 50,
      limits: { ...backendDefaults.limits, maxConnections: 3 },
    };
    const dial = dialOf(tight);
    assert.deepEqual([dial.connect.timeoutMs, dial.maxConnections], [50, 3]);
    assert.equal(dialOf(tight), dial);
    assert.equal(dialOf(backendDefaults).key, dial.key);
    assert.notEqual(dialOf(backendDefaults), dial);
  });
});
