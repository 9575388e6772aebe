import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/ports.ts";
import { type MeshProcess, runFetchmesh, startFetchmesh } from "../support/processes.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { freePorts } from "./_free-ports.ts";

const service = (name: string): string => `apiVersion: fetchmesh.dev/v1alpha1
kind: Service
metadata:
  name: ${name}
spec:
  endpoints:
    - address: 127.0.0.1:9
`;

/** The same verbs whatever the store, without a control plane. */
function storeVerbs(name: string, open: () => Promise<{ url: string; close: () => Promise<void> }>): void {
  describe(`operator verbs on ${name} itself`, () => {
    const directory = mkdtempSync(join(tmpdir(), "fetchmesh-store-"));
    let store: { url: string; close: () => Promise<void> };
    const json = async (...args: string[]) => {
      const exit = await runFetchmesh([...args, "--store", store.url, "--dir", join(directory, "none"), "-o", "json"]);
      assert.notEqual(exit.stdout, "", exit.stderr);
      return { code: exit.code, value: JSON.parse(exit.stdout) };
    };
    const file = (text: string): string => {
      const path = join(directory, "documents.yaml");
      writeFileSync(path, text);
      return path;
    };
    before(async () => {
      store = await open();
    });
    after(async () => {
      await store.close();
      rmSync(directory, { recursive: true });
    });

    it("publish, show, compare, list, roll back and delete", async () => {
      const first = await json("apply", "-f", file(service("billing")), "-m", "first");
      assert.deepEqual([first.code, first.value.version, first.value.changes[0].action], [0, 1, "created"]);
      await json("apply", "-f", file(service("stock")), "-m", "second");
      assert.equal((await json("get")).value.resources.length, 2);
      assert.equal((await json("get", "service/billing")).value.resources[0].metadata.name, "billing");
      assert.equal((await json("diff", "-f", file(service("third")))).code, 1);
      const { versions } = (await json("history")).value;
      assert.deepEqual(
        versions.map(({ message }: { message: string }) => message),
        ["second", "first"],
      );
      assert.equal((await json("rollback", "1")).value.version, 3);
      assert.equal((await json("delete", "Service/billing")).value.changes[0].action, "deleted");
      assert.deepEqual((await json("status")).value, { version: 4, sidecars: [] });
    });

    it("refuse what is wrong", async () => {
      const { code, value } = await json("validate", "-f", file(service("billing").replace("address", "adress")));
      assert.equal(code, 1);
      assert.ok(value.problems.some(({ code }: { code: string }) => code === "FM0101"));
    });

    it("force and reset breakers", async () => {
      const opened = await json("breaker", "open", "billing", "--for", "1m");
      assert.deepEqual(
        [opened.value.service, opened.value.endpoint, opened.value.state],
        ["billing", null, "forced-open"],
      );
      assert.equal((await json("breaker", "reset", "billing")).code, 0);
    });
  });
}

storeVerbs("a file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fetchmesh-file-"));
  return { url: `file:${join(directory, "store")}`, close: async () => rmSync(directory, { recursive: true }) };
});

storeVerbs("Redis", async () => {
  const redis = await startRedis();
  return { url: redis.url, close: () => redis.stop() };
});

describe("a store that cannot be reached", () => {
  it("is told, with 1", async () => {
    const exit = await runFetchmesh(["status", "--store", "redis://127.0.0.1:1"]);
    assert.equal(exit.code, 1);
    assert.match(exit.stderr, /redis:\/\/127\.0\.0\.1:1/);
    const memory = await runFetchmesh(["status", "--store", "memory"]);
    assert.equal(memory.code, 1);
    assert.match(memory.stderr, /control plane's process/);
  });
});

describe("a mesh on Redis", () => {
  const directory = mkdtempSync(join(tmpdir(), "fetchmesh-redis-mesh-"));
  const dir = join(directory, "context");
  let redis: RedisServer | undefined;
  const started: MeshProcess[] = [];
  const start = (args: readonly string[]): MeshProcess => {
    const process = startFetchmesh(args);
    started.push(process);
    return process;
  };
  const status = async () => JSON.parse((await runFetchmesh(["status", "--dir", dir, "-o", "json"])).stdout);
  const apply = (text: string) =>
    runFetchmesh(["apply", "--dir", dir, "-f", "-", "--wait", "10s", "-o", "json"], { stdin: text });

  before(async () => {
    redis = await startRedis();
    const control = start(["control", "--store", redis.url, "--mesh", "blue", "--dir", dir, "--listen", "127.0.0.1:0"]);
    const url = String((await control.ready())["control"]);
    const token = await runFetchmesh(["token", "create", "--service", "orders", "--dir", dir]);
    // Nothing but what the contract names: which mesh of the store it is, the token says.
    const joining = ["--control", url, "--token", token.stdout.trim(), "--dir", join(directory, "none")];
    const sidecar = start([
      "sidecar",
      "--store",
      redis.url,
      ...joining,
      "--service",
      "orders",
      "--app",
      "127.0.0.1:9",
      ...freePorts,
    ]);
    await sidecar.ready();
  });
  after(async () => {
    await Promise.all(started.map((process) => process.stop()));
    await redis?.stop();
    rmSync(directory, { recursive: true });
  });

  it("has the sidecar in the mesh of its token", async () => {
    const { sidecars } = await status();
    assert.deepEqual(
      sidecars.map(({ service }: { service: string }) => service),
      ["orders"],
    );
  });

  it("keeps its last good config when somebody writes garbage, says so, and takes the next good one", async () => {
    assert.equal((await apply(service("billing"))).code, 0);
    await redis!.command("SET fm:{blue}:snapshot:2 garbage");
    await redis!.command("SET fm:{blue}:current 2");
    await redis!.command('PUBLISH fm:{blue}:events {"t":"config","version":2}');
    const nacked = await eventually(
      "the refusal",
      async () => {
        const [one] = (await status()).sidecars;
        return one.state === "nacked" && one;
      },
      15_000,
    );
    assert.equal(nacked.appliedVersion, 1);
    assert.equal(typeof nacked.reason, "string");
    const next = await apply(service("stock"));
    assert.equal(next.code, 0, next.stderr);
    await eventually("recovery", async () => (await status()).sidecars[0].state === "applied");
  });
});
