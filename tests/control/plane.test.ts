import assert from "node:assert/strict";
import { statSync, readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { announce, followRegistry } from "../../src/control/registry.ts";
import { followConfig } from "../../src/control/apply.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import { createControlPlane } from "../../src/control/plane.ts";
import { systemRandom } from "../../src/random.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { wireFetch } from "../../src/transport/wire-fetch.ts";
import { tempDir } from "../support/ports.ts";
import { startPlane, type TestPlane } from "./_plane.ts";
import { eventually, record } from "./_store-suite.ts";

const service = (name: string): string =>
  `apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: ${name}}\n`;

describe("control plane", () => {
  let mesh: TestPlane;
  before(async () => {
    mesh = await startPlane();
  });
  after(() => mesh.close());

  it("writes a context that only its owner can act with", () => {
    const facts = JSON.parse(readFileSync(`${mesh.dir}/context.json`, "utf8")) as Record<string, string>;
    assert.deepEqual(Object.keys(facts), ["control", "mesh", "trustDomain", "rootFingerprint"]);
    assert.equal(facts["control"], mesh.plane.address);
    assert.match(facts["rootFingerprint"]!, /^sha256:[0-9a-f]{64}$/);
    for (const name of ["operator.token", "ca/root.key", "ca/intermediate.key", "ca/token.key", "ca/config.key.json"]) {
      assert.equal(statSync(`${mesh.dir}/${name}`).mode & 0o777, 0o600, name);
    }
    assert.equal(readFileSync(`${mesh.dir}/root.pem`, "utf8"), mesh.plane.rootPem);
  });

  it("speaks TLS only, with its own identity, and 401 to whoever has none", async () => {
    const { status, body } = await mesh.call("GET", "/v1/snapshot", undefined, mesh.anonymous);
    assert.equal(status, 401);
    assert.ok(typeof body["advice"] === "string");
    assert.equal((await mesh.call("GET", "/v1/status")).status, 200);
    const foreign = tempDir("fetchmesh-foreign");
    const other = await startPlane({ dir: `${foreign.path}/context` });
    const { transport } = currentRuntime();
    const believer = wireFetch(transport, {
      tls: { trust: { rootsPem: [other.plane.rootPem] }, serverName: "localhost" },
    });
    await assert.rejects(believer(new Request(`${mesh.plane.address}/v1/root`)));
    believer.close();
    await other.close();
    foreign.remove();
  });

  it("carries a published version to a member and its word back, within apply --wait", async () => {
    const store = await mesh.member("orders");
    let refresh = (): void => {};
    const config = followConfig({
      store,
      mesh: "default",
      clock: systemClock,
      random: systemRandom,
      onSnapshot: () => refresh(),
    });
    await config.started;
    const announcement = announce({
      store,
      clock: systemClock,
      random: systemRandom,
      record: () =>
        record("orders-1", {
          appliedEpoch: config.applied.epoch,
          appliedVersion: config.applied.version,
          seenAtMs: Date.now(),
        }),
    });
    await announcement.started;
    refresh = announcement.refresh;
    // The stream of hints may take a moment to stand after the first answer.
    await eventually("the member to be connected", async () => store.isConnected);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { status, body } = await mesh.call("POST", "/v1/apply", {
      sources: [{ file: "mesh.yaml", text: service("orders") }],
      wait: 5_000,
    });
    assert.equal(status, 200, JSON.stringify(body));
    const applied = body["applied"] as { sidecars: number; of: number; p50Ms: number; maxMs: number };
    assert.equal(`${applied.sidecars}/${applied.of}`, "1/1");
    assert.ok(applied.maxMs < 2_000, `${applied.maxMs} ms`);
    const shown = (await mesh.call("GET", "/v1/status")).body["sidecars"] as {
      instance: string;
      state: string;
      appliedVersion: number;
    }[];
    assert.deepEqual(
      shown.map(({ instance, state, appliedVersion }) => `${instance} ${state} ${appliedVersion}`),
      ["orders-1 applied 1"],
    );

    const seen: string[][] = [];
    const watcher = followRegistry({
      store: await mesh.member("web"),
      clock: systemClock,
      random: systemRandom,
      onInstances: (found) => seen.push(found.map(({ id }) => id)),
    });
    await watcher.started;
    await eventually("the instance to be known", async () => seen.at(-1)?.[0] === "orders-1");
    await announcement.stop();
    await eventually("the instance to be gone", async () => seen.at(-1)?.length === 0, 2_000);
    watcher.close();
    config.close();
    await store.close();
  });

  it("keeps CA, tokens and operator over a restart", async () => {
    const folder = tempDir("fetchmesh-restart");
    const { transport, files } = currentRuntime();
    const start = () =>
      createControlPlane({
        store: memoryStore(),
        listen: { host: "127.0.0.1", port: 0 },
        mesh: "default",
        trustDomain: "mesh.local",
        dir: folder.path,
        transport,
        files,
        clock: systemClock,
        random: systemRandom,
      });
    const first = await start();
    await first.close();
    const second = await start();
    await second.close();
    assert.equal(second.rootFingerprint, first.rootFingerprint);
    assert.equal(second.operatorToken, first.operatorToken);
    folder.remove();
  });

  it("renews its own certificate without a break", async () => {
    const short = await startPlane({ certTtlMs: 2_000 });
    try {
      for (let i = 0; i < 8; i++) {
        assert.equal((await short.call("GET", "/v1/status")).status, 200);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    } finally {
      await short.close();
    }
  });
});
