import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { followConfig, type ConfigFollower } from "../../src/control/apply.ts";
import { canonicalJson, digestOf } from "../../src/control/canonical.ts";
import { applyDocuments, readCurrent, type Publisher } from "../../src/control/publish.ts";
import { redisStore } from "../../src/control/redis-store.ts";
import type { Store } from "../../src/control/store.ts";
import { MeshError } from "../../src/errors.ts";
import { systemRandom } from "../../src/random.ts";
import { freePort } from "../support/ports.ts";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { eventually, HintLog, pause, record } from "./_store-suite.ts";

const isUnavailable = (error: unknown): boolean => error instanceof MeshError && error.code === "ERR_STORE_UNAVAILABLE";
const service = (name: string): string =>
  `apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: ${name}}\n`;

describe("redis store under faults", () => {
  let server: RedisServer;
  const opened: Store[] = [];
  const followers: ConfigFollower[] = [];
  const open = (url = server.url, warn?: (message: string) => void): Store => {
    const store = redisStore({ url, ...(warn && { warn }) });
    opened.push(store);
    return store;
  };
  const follow = (store: Store, pollMs = 10_000): ConfigFollower => {
    const follower = followConfig({
      store,
      mesh: "default",
      clock: systemClock,
      random: systemRandom,
      pollMs,
      onSnapshot: () => {},
    });
    followers.push(follower);
    return follower;
  };
  const publish = async (name: string): Promise<number> => {
    const publisher: Publisher = { store: open(), mesh: "default", clock: systemClock };
    const result = await applyDocuments(
      publisher,
      [{ file: "-", text: service(name) }],
      { author: "test", message: "" },
      new Set(),
    );
    if ("refused" in result) throw new Error(JSON.stringify(result.refused));
    return result.version;
  };
  before(async () => {
    server = await startRedis();
  });
  after(async () => {
    for (const follower of followers) follower.close();
    await Promise.all(opened.map((store) => store.close()));
    await server.stop();
  });

  it("fails at once while nobody answers, and comes by itself when somebody does", async () => {
    const port = await freePort();
    const store = open(`redis://127.0.0.1:${port}`);
    assert.equal(store.isConnected, false);
    await assert.rejects(store.config.pointer(), isUnavailable);
    const began = Date.now();
    await assert.rejects(store.registry.instances(), isUnavailable);
    assert.ok(Date.now() - began < 1_000);
    const lost = await startRedis();
    const late = open(lost.url);
    const log = new HintLog(late);
    await log.until("resync", ({ t }) => t === "resync");
    await lost.kill9();
    await eventually("the loss to be noticed", async () => !late.isConnected);
    await assert.rejects(late.config.pointer(), isUnavailable);
    log.hints.length = 0;
    await lost.restart();
    await log.until("resync after the restart", ({ t }) => t === "resync", 15_000);
    await eventually("the connection", async () => late.isConnected, 15_000);
    assert.equal(await late.config.pointer(), null);
    log.stop();
    await late.close();
    await lost.stop();
  });

  it("never shows a password", async () => {
    const warnings: string[] = [];
    const store = open("redis://operator:hunter2@127.0.0.1:1/3", (message) => warnings.push(message));
    const error = await store.config.pointer().catch((reason: unknown) => reason as MeshError);
    const text = `${store.name} ${(error as MeshError).message} ${warnings.join()}`;
    assert.match(text, /redis:\/\/127\.0\.0\.1:1\/3/);
    assert.doesNotMatch(text, /hunter2|operator/);
    for (const url of ["redis://user:hunter2@", "redis://user:hunter2@host/x", "http://user:hunter2@host"]) {
      assert.throws(
        () => redisStore({ url }),
        (reason: unknown) =>
          reason instanceof MeshError && reason.code === "ERR_OPTION_INVALID" && !reason.message.includes("hunter2"),
      );
    }
  });

  it("loses no update among concurrent writers (I7)", async () => {
    const before = (await open().config.pointer())?.version ?? 0;
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let round = 0; round < 10; round++) await publish(`w${writer}-${round}`);
    });
    await Promise.all(writers);
    const { version, documents } = await readCurrent({ store: open(), mesh: "default", clock: systemClock });
    assert.equal(version, before + 80);
    assert.ok(documents.length >= 80);
    const versions = (await open().config.history(80)).map((entry) => entry.version);
    assert.deepEqual(
      versions,
      Array.from({ length: 80 }, (_, index) => before + 80 - index),
    );
  });

  it("catches up after a subscription was cut without a word (R1)", async () => {
    const follower = follow(open());
    await follower.started;
    await server.command("CLIENT KILL TYPE pubsub");
    const version = await publish("after-the-cut");
    await eventually("the version", async () => follower.applied.version === version, 8_000);
  });

  it("keeps its config when everything is lost, and refuses what is older (I6, R4)", async () => {
    const version = await publish("kept");
    const follower = follow(open());
    await follower.started;
    assert.equal(follower.applied.version, version);
    const { epoch } = follower.applied;
    await server.command("FLUSHALL");
    await follower.look();
    assert.deepEqual(follower.applied, { epoch, version });
    // A backup of another day: the same epoch, a lower number.
    const old = redisStore({ url: server.url });
    opened.push(old);
    await server.command(`HSET fm:{default}:meta layout 1 epoch ${epoch}`);
    await server.command(`SET fm:{default}:snapshot:1 {}`);
    await server.command("SET fm:{default}:current 1");
    await follower.look();
    assert.deepEqual(follower.applied, { epoch, version });
    assert.match(follower.refusal?.reason ?? "", /older than the applied version/);
    await server.command("FLUSHALL");
  });

  it("stalls nobody while the server is stopped, and goes on afterwards (F3)", async () => {
    const store = open();
    const follower = follow(store);
    await follower.started;
    process.kill(server.pid, "SIGSTOP");
    try {
      const began = Date.now();
      await assert.rejects(store.config.pointer(), isUnavailable);
      assert.ok(Date.now() - began < 3_000, `${Date.now() - began} ms`);
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    await eventually(
      "the connection",
      async () =>
        store.config.pointer().then(
          () => true,
          () => false,
        ),
      10_000,
    );
    const version = await publish("after-the-stop");
    await eventually("the version", async () => follower.applied.version === version, 20_000);
  });

  it("refuses garbage of every kind and keeps the last good (F13)", async () => {
    const good = await publish("good");
    const store = open();
    const follower = follow(store);
    await follower.started;
    const { epoch } = follower.applied;
    assert.equal(follower.applied.version, good);
    let next = good + 1;
    const documents = [{ apiVersion: "fetchmesh.dev/v1alpha1", kind: "Service", metadata: { name: "a" } }];
    const bodies: string[] = [
      "",
      "{",
      "null",
      "[]",
      "42",
      '"text"',
      "\u0000",
      '{"documents":null}',
      '{"documents":[null]}',
      '{"documents":[{"kind":"Service"}]}',
      JSON.stringify({ mesh: "other", documents }),
      JSON.stringify({ epoch: "other", documents }),
      JSON.stringify({ version: 1, documents }),
      JSON.stringify({ schema: 2, documents }),
      JSON.stringify({ digest: "sha256-00", documents }),
      JSON.stringify({ documents: [...documents, ...documents] }),
      `{"documents":${"[".repeat(100_001)}${"]".repeat(100_001)}}`,
      JSON.stringify({ documents, pad: "x".repeat(2_097_152) }),
      '{"documents":[{"apiVersion":"fetchmesh.dev/v1alpha1","kind":"Service","metadata":{"name":"a"},"__proto__":{"spec":1}}]}',
      "e30.e30.e30",
      "a.b.c",
    ];
    const writer = await rawRedis(server.port);
    for (const body of bodies) {
      await writer("SET", `fm:{default}:snapshot:${next}`, body);
      await writer("SET", "fm:{default}:current", String(next));
      await writer("PUBLISH", "fm:{default}:events", JSON.stringify({ t: "config", epoch, version: next, digest: "" }));
      await eventually(`a refusal of ${body.slice(0, 40)}`, async () => follower.refusal?.version === next);
      assert.equal(follower.applied.version, good);
      next++;
    }
    for (const pointer of ["abc", "-1", "1e3", "9007199254740993", "18446744073709551616", " 7", ""]) {
      await writer("SET", "fm:{default}:current", pointer);
      await follower.look();
      assert.equal(follower.applied.version, good, pointer);
    }
    await writer("SET", "fm:{default}:current", "999999");
    await follower.look();
    assert.match(follower.refusal?.reason ?? "", /999999, which is not there/);
    for (const hint of [
      "",
      "{",
      "null",
      '{"t":"config"}',
      '{"t":"config","epoch":"zzzz","version":1e99,"digest":""}',
      '{"t":"vote"}',
      "[".repeat(5_000),
      "x".repeat(100_000),
    ]) {
      await writer("PUBLISH", "fm:{default}:events", hint);
    }
    await writer("SET", `fm:{default}:snapshot:${next}`, JSON.stringify({ documents }));
    await writer("SET", "fm:{default}:current", String(next));
    await follower.look();
    assert.equal(follower.applied.version, next, "the way back is an ordinary version");
    assert.equal(follower.refusal, null);
    await writer("QUIT");
  });

  it("takes a version from anything that speaks Redis: the recipe with redis-cli", async (t) => {
    const cli = (...args: string[]): string => {
      const { status, stdout, error } = spawnSync("redis-cli", ["-p", String(server.port), ...args], {
        encoding: "utf8",
      });
      if (error) throw error;
      assert.equal(status, 0);
      return stdout.trim();
    };
    if (spawnSync("redis-cli", ["--version"]).error) return t.skip("redis-cli is not installed");
    const follower = follow(open());
    await follower.started;
    const version = Number(cli("GET", "fm:{default}:current")) + 1;
    const epoch = cli("HGET", "fm:{default}:meta", "epoch");
    const documents = [
      {
        apiVersion: "fetchmesh.dev/v1alpha1",
        kind: "Service",
        metadata: { name: "by-hand" },
        spec: { ports: [{ port: 80 }] },
      },
    ];
    cli(
      "SET",
      `fm:{default}:snapshot:${version}`,
      JSON.stringify({ digest: await digestOf(canonicalJson(documents)), documents }),
    );
    cli("SET", "fm:{default}:current", String(version));
    cli("PUBLISH", "fm:{default}:events", JSON.stringify({ t: "config", epoch, version }));
    await eventually("the version", async () => follower.applied.version === version, 2_000);
    // And a publisher goes on from there.
    assert.equal(await publish("after-by-hand"), version + 1);
  });

  it("warns where keys could be evicted (R15)", async () => {
    await server.command("CONFIG SET maxmemory 100mb");
    await server.command("CONFIG SET maxmemory-policy allkeys-lru");
    const warnings: string[] = [];
    const store = open(server.url, (message) => warnings.push(message));
    await store.config.pointer();
    await eventually("a warning", async () => warnings.some((message) => message.includes("noeviction")));
    await server.command("CONFIG SET maxmemory 0");
  });

  it("keeps hints within 200 bytes, whatever the names (R13)", async () => {
    const long = "a".repeat(63);
    const seen: string[] = [];
    const socket = connect(server.port, "127.0.0.1");
    socket.setEncoding("utf8").on("data", (chunk) => seen.push(String(chunk)));
    socket.write("SUBSCRIBE fm:{default}:events\r\n");
    await pause(100);
    const store = open();
    await store.registry.register(record("long-1", { service: long, namespace: long }), 5_000);
    await store.breaker.vote({
      service: long,
      namespace: long,
      endpoint: `${long}.${long}.example:443`,
      voter: long,
      expiresAtMs: Date.now() + 60_000,
    });
    await eventually(
      "both hints",
      async () => seen.join("").includes('"t":"breaker"') && seen.join("").includes('"t":"endpoints"'),
    );
    for (const [, length] of seen.join("").matchAll(/events\r\n\$(\d+)\r\n/g))
      assert.ok(Number(length) <= 200, `${length} bytes`);
    socket.destroy();
  });
});

/** A client of a dozen lines: what else speaks Redis. */
async function rawRedis(port: number): Promise<(...command: string[]) => Promise<void>> {
  const socket = connect(port, "127.0.0.1");
  let replied = (): void => {};
  socket.on("data", () => replied());
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  return (...command) =>
    new Promise((resolve) => {
      replied = () => resolve();
      socket.write(
        `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join("")}`,
      );
      if (command[0] === "QUIT") socket.end();
    });
}
