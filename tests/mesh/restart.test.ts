import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import type { MeshError } from "../../src/errors.ts";
import { startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { tempDir, type TempDir } from "../support/ports.ts";

describe("a sidecar with a state directory", () => {
  let mesh: Mesh;
  let app: App;
  let dir: TempDir;

  before(async () => {
    mesh = await startMesh();
    app = await startApp("orders");
    dir = tempDir("state");
  });
  after(async () => {
    await mesh.close();
    await app.close();
    dir.remove();
  });

  it("starts again as who it was, with a token that was used before", async () => {
    const token = await mesh.token("orders");
    const first = await mesh.sidecar("orders", app, { token, stateDir: dir.path });
    await first.close();
    assert.equal(statSync(`${dir.path}/identity.json`).mode & 0o777, 0o600);
    const second = await mesh.sidecar("orders", app, { token, stateDir: dir.path });
    assert.equal(second.ready.spiffeId, "spiffe://mesh.local/ns/default/sa/orders");
    await second.close();
  });

  it("without a state directory a used token is refused, and the reply says what to do", async () => {
    const token = await mesh.token("orders");
    await (await mesh.sidecar("orders", app, { token })).close();
    await assert.rejects(mesh.sidecar("orders", app, { token }), (error: MeshError) => {
      assert.equal(error.code, "ERR_TOKEN_REFUSED");
      assert.match(`${error.message} ${error.advice}`, /used before.*token create/s);
      return true;
    });
  });

  it("does not become another service because a file says so", async () => {
    await assert.rejects(
      mesh.sidecar("billing", app, { token: await mesh.token("orders"), stateDir: dir.path }),
      (error: MeshError) => error.code === "ERR_TOKEN_REFUSED",
    );
  });

  it("joins anew when what it kept is damaged", async () => {
    writeFileSync(`${dir.path}/identity.json`, '{"chainPem":"garbage"');
    const sidecar = await mesh.sidecar("orders", app, { stateDir: dir.path });
    assert.equal(sidecar.ready.spiffeId, "spiffe://mesh.local/ns/default/sa/orders");
    await sidecar.close();
  });
});
