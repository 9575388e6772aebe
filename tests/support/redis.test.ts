import assert from "node:assert/strict";
import { test } from "node:test";
import { startRedis } from "./redis.ts";

test("startRedis() answers, survives a crash by restart(), and stop() frees its port", async () => {
  const redis = await startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
  assert.equal(await redis.command("SET fm:x 1"), "+OK\r\n");
  const crashed = redis.pid;
  await redis.kill9();
  await assert.rejects(redis.command("PING"));
  await redis.restart();
  assert.notEqual(redis.pid, crashed);
  assert.equal(await redis.command("GET fm:x"), "$1\r\n1\r\n");
  await redis.stop();
  await assert.rejects(redis.command("PING"));
});

test("startRedis() gives each caller a server of its own", async () => {
  const [one, other] = await Promise.all([startRedis(), startRedis()]);
  await one.command("SET fm:x 1");
  assert.equal(await other.command("GET fm:x"), "$-1\r\n");
  await Promise.all([one.stop(), other.stop()]);
});

test("startRedis() says what redis-server said when it does not start", async () => {
  await assert.rejects(startRedis({ args: ["--no-such-option", "1"] }), /did not start: [\s\S]*no-such-option/);
});
