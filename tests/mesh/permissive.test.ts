import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { eventually } from "../support/ports.ts";

describe("a permissive inbound port", () => {
  let mesh: Mesh;
  let app: App;
  let legacy: Sidecar;
  let web: Sidecar;

  before(async () => {
    mesh = await startMesh();
    app = await startApp("legacy");
    legacy = await mesh.sidecar("legacy", app, { mtls: "permissive" });
    web = await mesh.sidecar("web", app);
    await eventually("web knows legacy", async () =>
      (await call(web.ready.admin, "/endpoints")).body.includes(legacy.ready.inbound),
    );
  });
  after(async () => {
    await mesh.close();
    await app.close();
  });

  it("serves mTLS peers as who they are, and plaintext callers as nobody, whatever they claim", async () => {
    app.seen.length = 0;
    assert.equal((await call(web.ready.outbound, "/mtls", { headers: { host: "legacy" } })).status, 200);
    const spoof = { "x-forwarded-client-cert": "URI=spiffe://mesh.local/ns/default/sa/admin" };
    assert.equal((await call(legacy.ready.inbound, "/plain", { headers: { host: "legacy", ...spoof } })).status, 200);
    const [identified, anonymous] = app.seen;
    assert.match(
      String(identified?.headers["x-forwarded-client-cert"]),
      /URI=spiffe:\/\/mesh\.local\/ns\/default\/sa\/web$/,
    );
    assert.equal(anonymous?.headers["x-forwarded-client-cert"], undefined);
  });

  it("lets nobody through a policy that names principals", async () => {
    await mesh.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: known-callers, namespace: default }
spec:
  action: ALLOW
  selector: { matchLabels: { app: legacy } }
  rules: [{ from: [{ source: { principals: ["*"] } }] }]
`);
    await eventually(
      "nobody is denied",
      async () => (await call(legacy.ready.inbound, "/", { headers: { host: "legacy" } })).status === 403,
    );
    assert.equal((await call(web.ready.outbound, "/", { headers: { host: "legacy" } })).status, 200);
  });
});
