import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { redisStore } from "../../src/control/redis-store.ts";
import type { Store } from "../../src/control/store.ts";
import { parsePrometheus } from "../../src/observe/prometheus-text.ts";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { delay, eventually, tempDir, type TempDir } from "../support/ports.ts";
import { runFetchmesh } from "../support/processes.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { startLoad } from "./_load.ts";

const split = (value: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: orders }
spec: { parentRefs: [{ kind: Service, name: orders }], rules: [{ backendRefs: [{ name: orders }], filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-config, value: "${value}" }] } }] }] }
`;

describe("a mesh whose Redis fails", () => {
  let redis: RedisServer;
  let store: Store;
  let mesh: Mesh;
  let app: App;
  let web: Sidecar;
  let folder: TempDir;
  const open = (): Store =>
    redisStore({ url: redis.url, mesh: "default", clock: systemClock, random: Math.random, warn: () => {} });

  before(async () => {
    redis = await startRedis();
    store = open();
    mesh = await startMesh({ store });
    app = await startApp("orders");
    folder = tempDir("redis-state");
    web = await mesh.sidecar("web", app, { store: redis.url, stateDir: folder.path });
    const orders = [
      await mesh.sidecar("orders", app, { store: redis.url }),
      await mesh.sidecar("orders", app, { store: redis.url }),
    ];
    for (const one of orders)
      await eventually("it is known", async () =>
        (await call(web.ready.admin, "/endpoints")).body.includes(one.ready.inbound),
      );
    await mesh.apply(split("first"));
    await eventually("the route is live", async () => (await ask()).headers["x-config"] === "first");
  });
  after(async () => {
    await mesh.close();
    await store.close();
    await redis.stop();
    await app.close();
    folder.remove();
  });

  const ask = () => call(web.ready.outbound, "/", { headers: { host: "orders" } });
  const version = async (): Promise<number> =>
    (JSON.parse((await call(web.ready.admin, "/config")).body) as { version: number }).version;
  const metric = async (name: string): Promise<number> =>
    parsePrometheus((await call(web.ready.admin, "/metrics")).body).sum(name, {});
  const status = async (): Promise<{
    version: number;
    sidecars: { service: string; state: string; reason: string | null }[];
  }> => {
    writeFileSync(join(folder.path, "root.pem"), mesh.plane.rootPem);
    writeFileSync(join(folder.path, "operator.token"), mesh.plane.operatorToken);
    const exit = await runFetchmesh([
      "status",
      "-o",
      "json",
      "--control",
      mesh.plane.address,
      "--ca",
      join(folder.path, "root.pem"),
      "--operator-token-file",
      join(folder.path, "operator.token"),
    ]);
    assert.equal(exit.code, 0, exit.stderr);
    return JSON.parse(exit.stdout);
  };

  it(
    "refuses garbage in it, says so in status, serves the old config, and takes the next good one (A-47, I5)",
    { timeout: 30_000 },
    async () => {
      const load = startLoad(web.ready.outbound, "orders");
      const good = await version();
      const bad = good + 1;
      await redis.command(`SET fm:{default}:snapshot:${bad} not-json-and-not-signed`);
      await redis.command(`SET fm:{default}:current ${bad}`);
      await redis.command(`PUBLISH fm:{default}:events '{"t":"config","epoch":"","version":${bad},"digest":""}'`);
      const epoch = (await redis.command("HGET fm:{default}:meta epoch")).split("\r\n")[1];
      await redis.command(
        `PUBLISH fm:{default}:events '{"t":"config","epoch":"${epoch}","version":${bad},"digest":"x"}'`,
      );
      await eventually(
        "every sidecar says that it refuses it",
        async () => (await mesh.store.registry.instances()).every(({ state }) => state === "nacked"),
        5_000,
      );
      const seen = await status();
      assert.equal(seen.version, bad);
      assert.equal(seen.sidecars.length, 3);
      for (const { state, reason } of seen.sidecars)
        assert.ok(state === "nacked" && reason !== null && reason.length > 10, `${state}: ${reason}`);
      assert.equal(await version(), good);
      assert.equal((await ask()).headers["x-config"], "first");
      const next = await mesh.apply(split("second"));
      assert.ok(next > bad);
      await eventually("the next good one is live", async () => (await ask()).headers["x-config"] === "second");
      await eventually("nobody refuses anything", async () =>
        (await mesh.store.registry.instances()).every(({ state }) => state === "applied"),
      );
      assert.equal((await load.stop()).failures, "");
    },
  );

  it(
    "loses no request when it is killed, and gets everything back when it comes up empty (A-45, A-46, I1, I6)",
    { timeout: 60_000 },
    async () => {
      const load = startLoad(web.ready.outbound, "orders");
      const before = await version();
      await delay(200);
      await redis.kill9();
      await eventually(
        "the sidecar says that its store is gone",
        async () => (await metric("fetchmesh_store_connected")) === 0,
        15_000,
      );
      await delay(1_500);
      assert.equal(await version(), before);
      assert.equal((await call(web.ready.admin, "/ready")).status, 200, "it still serves, so it is ready");
      assert.equal((await call(web.ready.admin, "/metrics")).status, 200);

      await redis.restart();
      await eventually(
        "the control plane has published again",
        async () => ((await mesh.store.config.pointer())?.version ?? 0) > before,
        20_000,
      );
      await eventually("the sidecar is on it", async () => (await version()) > before, 20_000);
      assert.equal((await ask()).headers["x-config"], "second");
      await eventually(
        "all have registered again",
        async () => (await mesh.store.registry.instances()).length === 3,
        20_000,
      );
      const { sent, failures } = await load.stop();
      assert.equal(failures, "");
      assert.ok(sent > 50, `${sent} requests`);
      await mesh.apply(split("third"));
      await eventually("it takes config as before", async () => (await ask()).headers["x-config"] === "third");
    },
  );

  it("is not missed by a sidecar that starts on the last known good (A-48, R23)", { timeout: 30_000 }, async () => {
    await eventually("it is on disk", async () =>
      readFileSync(join(folder.path, "default.last-known-good.json"), "utf8").includes(`"version":${await version()},`),
    );
    await redis.kill9();
    const late = await mesh.sidecar("web", app, { store: redis.url, stateDir: folder.path });
    assert.equal(
      (JSON.parse((await call(late.ready.admin, "/config")).body) as { version: number }).version,
      await version(),
    );
    assert.equal((await call(late.ready.health, "/readyz")).status, 200);
    await redis.restart();
  });
});
