import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { redisStore } from "../../src/control/redis-store.ts";
import type { Store } from "../../src/control/store.ts";
import type { EndpointReport, ServiceReport } from "../../src/observe/endpoint-report.ts";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh, type Reply } from "../support/mesh.ts";
import { delay, eventually, tempDir, type TempDir } from "../support/ports.ts";
import { runFetchmesh } from "../support/processes.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";

/** Every command that Redis executes from now on, as MONITOR prints it. */
function monitor(redis: RedisServer): { readonly lines: readonly string[]; stop(): void } {
  const lines: string[] = [];
  const socket = connect(redis.port, "127.0.0.1", () => void socket.write("MONITOR\r\n"));
  let rest = "";
  socket.on("error", () => {});
  socket.on("data", (bytes: Buffer) => {
    const parts = (rest + bytes.toString("latin1")).split("\r\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
  });
  return { lines, stop: () => void socket.destroy() };
}

describe("the fleet breaker over Redis", () => {
  let redis: RedisServer;
  let store: Store;
  let mesh: Mesh;
  let folder: TempDir;
  let sickApp: App;
  let wellApp: App;
  let sick: Sidecar;
  let callers: Sidecar[];
  let isSick = false;

  before(async () => {
    redis = await startRedis();
    store = redisStore({ url: redis.url, mesh: "default", clock: systemClock, random: Math.random, warn: () => {} });
    mesh = await startMesh({ store });
    folder = tempDir("fleet");
    sickApp = await startApp(
      "first",
      (_, response) => void (isSick ? response.writeHead(500).end("sick") : response.end("first")),
    );
    wellApp = await startApp("second");
    sick = await mesh.sidecar("orders", sickApp, { store: redis.url });
    await mesh.sidecar("orders", wellApp, { store: redis.url });
    callers = await Promise.all(
      ["web", "shop", "report"].map((service) => mesh.sidecar(service, wellApp, { store: redis.url })),
    );
    for (const caller of callers)
      await eventually("both are known", async () => (await endpoints(caller)).length === 2);
    await mesh.apply(`
apiVersion: fetchmesh.dev/v1alpha1
kind: BackendPolicy
metadata: { name: orders }
spec: { targetRefs: [{ kind: Service, name: orders }], breaker: { openFor: 3s, minRequests: 1000000 } }
`);
    await delay(200);
  });
  after(async () => {
    await mesh.close();
    await store.close();
    await redis.stop();
    await Promise.all([sickApp.close(), wellApp.close()]);
    folder.remove();
  });

  const ask = (from: Sidecar): Promise<Reply> => call(from.ready.outbound, "/", { headers: { host: "orders" } });
  async function endpoints(from: Sidecar): Promise<readonly EndpointReport[]> {
    const view = JSON.parse((await call(from.ready.admin, "/endpoints")).body) as {
      services: readonly ServiceReport[];
    };
    return view.services.find(({ service }) => service === "orders")?.endpoints ?? [];
  }
  const atSick = async (from: Sidecar): Promise<EndpointReport> =>
    (await endpoints(from)).find(({ address }) => address === sick.ready.inbound)!;
  const findsOut = (from: Sidecar): Promise<unknown> =>
    eventually("it has found out itself", async () => {
      await ask(from);
      return (await atSick(from)).breaker === "open";
    });
  const allWell = (): Promise<unknown> =>
    eventually("all are closed", async () => {
      for (const caller of callers) await ask(caller);
      return (await Promise.all(callers.map(atSick))).every(({ breaker }) => breaker === "closed");
    });
  const operator = async (...args: string[]): Promise<Record<string, unknown>> => {
    writeFileSync(join(folder.path, "root.pem"), mesh.plane.rootPem);
    writeFileSync(join(folder.path, "operator.token"), mesh.plane.operatorToken);
    const exit = await runFetchmesh([
      ...args,
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
    return JSON.parse(exit.stdout) as Record<string, unknown>;
  };

  it("sends Redis nothing while all is well", { timeout: 30_000 }, async () => {
    const watched = monitor(redis);
    await eventually("it watches", () => watched.lines.length > 0);
    for (let i = 0; i < 200; i++) await ask(callers[i % 3]!);
    await delay(300);
    watched.stop();
    const writes = watched.lines.filter(
      (line) =>
        line.includes(":breaker") &&
        !/"(?:keys|scan|hgetall|hvals|hmget|mget|get|zrange|zrangebyscore|smembers|time)"/i.test(line),
    );
    assert.deepEqual(writes, []);
    assert.doesNotMatch(watched.lines.join("\n"), /"vote"|"withdraw"/);
  });

  it("one caller's word opens nothing for the others; a second one's does", { timeout: 30_000 }, async () => {
    isSick = true;
    const [first, second, third] = callers as [Sidecar, Sidecar, Sidecar];
    await findsOut(first);
    await delay(300);
    assert.deepEqual(
      [(await atSick(first)).source, (await atSick(third)).breaker, (await atSick(second)).breaker],
      ["local", "closed", "closed"],
    );
    await findsOut(second);
    const told = await eventually(
      "the third is told",
      async () => {
        const view = await atSick(third);
        return view.breaker === "open" && view;
      },
      1_000,
    );
    assert.deepEqual([told.source, told.ejected], ["quorum", true]);
    const before = sickApp.seen.length;
    for (let i = 0; i < 20; i++) assert.equal((await ask(third)).body, "second");
    assert.ok(sickApp.seen.length - before <= 2, "probes of the others at most");
    isSick = false;
    await allWell();
  });

  it(
    "obeys an operator within a second, everywhere, until the time is over or the order is taken back",
    { timeout: 60_000 },
    async () => {
      const everywhere = (what: string, is: (view: EndpointReport) => boolean, timeoutMs: number): Promise<unknown> =>
        eventually(what, async () => (await Promise.all(callers.map(atSick))).every(is), timeoutMs, 10);
      const opened = await operator("breaker", "open", `orders/${sick.ready.inbound}`, "--for", "2s");
      assert.deepEqual(
        [opened["service"], opened["endpoint"], opened["state"]],
        ["orders", sick.ready.inbound, "forced-open"],
      );
      await everywhere("open everywhere", ({ breaker, source }) => breaker === "open" && source === "forced", 1_000);
      for (const caller of callers) for (let i = 0; i < 5; i++) assert.equal((await ask(caller)).body, "second");
      // Nobody wakes up for it: the next request finds that its time is over.
      await allWell();

      await operator("breaker", "open", "orders", "--for", "5m");
      await eventually(
        "nothing goes through",
        async () => (await Promise.all(callers.map(ask))).every(({ status }) => status === 503),
        1_000,
      );
      await operator("breaker", "reset", "orders");
      await eventually(
        "all goes through",
        async () => (await Promise.all(callers.map(ask))).every(({ status }) => status === 200),
        1_000,
      );

      await operator("breaker", "close", `orders/${sick.ready.inbound}`, "--for", "1m");
      await everywhere("held closed", ({ source }) => source === "forced", 1_000);
      isSick = true;
      for (let i = 0; i < 40; i++) await ask(callers[0]!);
      assert.equal((await atSick(callers[0]!)).breaker, "closed");
      isSick = false;
      await operator("breaker", "reset", "orders");
      await everywhere("nobody holds it", ({ source }) => source === "local", 1_000);
      await allWell();
    },
  );

  it("is each caller's own again without Redis", { timeout: 30_000 }, async () => {
    await redis.kill9();
    isSick = true;
    const [first, second, third] = callers as [Sidecar, Sidecar, Sidecar];
    await findsOut(first);
    await findsOut(second);
    await delay(300);
    assert.equal((await atSick(first)).source, "local");
    assert.equal((await atSick(third)).breaker, "closed", "nobody could tell it");
    isSick = false;
    await allWell();
    await redis.restart();
  });
});
