import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { currentRuntime, runFetchmesh } from "../../support/processes.ts";
import { startRedis } from "../../support/redis.ts";

interface Told {
  readonly ok: boolean;
  readonly tookMs: number;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly evidence: readonly string[] }[];
}

async function runDemo(...args: string[]): Promise<Told> {
  const { code, stdout, stderr } = await runFetchmesh(["demo", "--once", "-o", "json", ...args], {}, 60_000);
  assert.equal(code, 0, `${stderr}\n${stdout}`);
  return JSON.parse(stdout) as Told;
}

describe("demo --once", () => {
  it(`keeps its six promises with every sidecar on ${currentRuntime}`, { timeout: 60_000 }, async () => {
    const { ok, tookMs, checks } = await runDemo("--runtime", currentRuntime);
    assert.equal(ok, true);
    assert.deepEqual(
      checks.map((check) => check.ok),
      [true, true, true, true, true, true],
    );
    for (const { evidence } of checks) assert.ok(evidence.length > 0);
    assert.ok(tookMs < 30_000, `took ${tookMs} ms`);
  });

  // Once is enough: what differs is the store, and that is the same code on every runtime.
  it(
    "keeps them on Redis with a mix of runtimes, and leaves nothing there",
    { timeout: 60_000, skip: currentRuntime !== "bun" },
    async () => {
      const redis = await startRedis();
      try {
        assert.equal((await runDemo("--store", redis.url)).ok, true);
        const left = await redis.command("KEYS *");
        // Records of instances end with their leases.
        assert.ok(!/snapshot|history|current|endpoints/.test(left), left);
      } finally {
        await redis.stop();
      }
    },
  );
});
