import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { splitAddress } from "../../src/control/address.ts";
import { followBreaker, type BreakerAudience } from "../../src/control/breaker-exchange.ts";
import { parseDuration } from "../../src/control/duration.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import { unifiedDiff } from "../../src/control/unified-diff.ts";
import { seededRandom } from "../../src/random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

describe("parseDuration()", () => {
  it("reads Gateway API durations and nothing else (GEP-2257)", () => {
    const valid = {
      "0s": 0,
      "1ms": 1,
      "500ms": 500,
      "1s": 1_000,
      "1m30s": 90_000,
      "1h1m1s1ms": 3_661_001,
      "99999ms": 99_999,
      "1s1s": 2_000,
    };
    for (const [text, ms] of Object.entries(valid)) assert.equal(parseDuration(text), ms, text);
    for (const text of [
      "",
      "1",
      "s",
      "1.5s",
      "-1s",
      "+1s",
      "1 s",
      "1d",
      "1us",
      "100000s",
      "1h1m1s1ms1s",
      "1S",
      "1s ",
      "Infinity",
    ])
      assert.equal(parseDuration(text), null, text);
  });
});

describe("splitAddress()", () => {
  it("takes host:port with IPv6 in brackets", () => {
    assert.deepEqual(splitAddress("127.0.0.1:80"), { host: "127.0.0.1", port: 80 });
    assert.deepEqual(splitAddress("[::1]:65535"), { host: "::1", port: 65_535 });
    assert.deepEqual(splitAddress("a.example.:1"), { host: "a.example.", port: 1 });
    for (const text of [
      "",
      ":80",
      "a",
      "a:",
      "a:0",
      "a:65536",
      "::1:80",
      "a b:80",
      "a/b:80",
      "a:80/x",
      "u@a:80",
      "a:+8",
      `${"a".repeat(64)}:80`,
    ])
      assert.equal(splitAddress(text), null, text);
  });
});

describe("unifiedDiff()", () => {
  it("shows changes with three lines around them", () => {
    const lines = Array.from({ length: 20 }, (_, index) => `line ${index + 1}`);
    const before = `${lines.join("\n")}\n`;
    const after = `${lines.with(4, "changed").toSpliced(15, 1).join("\n")}\n`;
    assert.equal(
      unifiedDiff("x", before, after),
      "--- a/x\n+++ b/x\n@@ -2,7 +2,7 @@\n line 2\n line 3\n line 4\n-line 5\n+changed\n line 6\n line 7\n line 8\n@@ -13,7 +13,6 @@\n line 13\n line 14\n line 15\n-line 16\n line 17\n line 18\n line 19\n",
    );
    assert.equal(unifiedDiff("x", before, before), "");
    assert.equal(unifiedDiff("x", "", "a\n"), "--- /dev/null\n+++ b/x\n@@ -0,0 +1,1 @@\n+a\n");
    assert.equal(unifiedDiff("x", "a\n", ""), "--- a/x\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n");
  });

  it("leads from one text to the other, always", () => {
    const text = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 30 });
    fc.assert(
      fc.property(text, text, (a, b) => {
        assert.deepEqual(
          patched(a, unifiedDiff("x", a.map((line) => `${line}\n`).join(""), b.map((line) => `${line}\n`).join(""))),
          b,
        );
      }),
    );
  });
});

/** What `patch` would do. */
function patched(lines: readonly string[], diff: string): string[] {
  const result: string[] = [];
  let at = 0;
  for (const line of diff === "" ? [] : diff.trimEnd().split("\n").slice(2)) {
    const head = /^@@ -(\d+),(\d+) \+(\d+),(\d+) @@$/.exec(line);
    if (head !== null) {
      const start = Number(head[1]) - (Number(head[2]) === 0 ? 0 : 1);
      result.push(...lines.slice(at, start));
      at = start;
      assert.equal(result.length, Number(head[3]) - (Number(head[4]) === 0 ? 0 : 1));
    } else if (line.startsWith("+")) result.push(line.slice(1));
    else {
      assert.equal(lines[at], line.slice(1));
      if (line.startsWith(" ")) result.push(line.slice(1));
      at++;
    }
  }
  return [...result, ...lines.slice(at)];
}

describe("followBreaker()", () => {
  it("hears votes one by one and everything again after a reconnection, and ticks while the store is away", async () => {
    const clock = new VirtualClock();
    const inner = memoryStore(clock);
    let isAway = false;
    const away = <T>(value: Promise<T>): Promise<T> => (isAway ? Promise.reject(new Error("away")) : value);
    const store = {
      ...inner,
      kind: "memory",
      name: "memory",
      isConnected: true,
      config: inner.config,
      registry: inner.registry,
      breaker: {
        ...inner.breaker,
        votes: () => away(inner.breaker.votes()),
        overrides: () => away(inner.breaker.overrides()),
      },
      watch: inner.watch.bind(inner),
      close: async () => {},
    } as const;
    const heard: string[] = [];
    const fleet: BreakerAudience = {
      onVote: ({ voter }) => heard.push(`vote ${voter}`),
      onWithdraw: ({ voter }) => heard.push(`withdraw ${voter}`),
      onVotes: (votes) => heard.push(`votes ${votes.length}`),
      onOverrides: (overrides) => heard.push(`overrides ${overrides.length}`),
      tick: () => heard.push("tick"),
    };
    const follower = followBreaker({ store, clock, random: seededRandom(1), fleet });
    await clock.pass(0);
    heard.length = 0;
    const vote = {
      service: "orders",
      namespace: "default",
      endpoint: "127.0.0.1:1",
      voter: "web-1",
      expiresAtMs: clock.epochMs() + 30_000,
    };
    await inner.breaker.vote(vote);
    await clock.pass(0);
    await inner.breaker.withdraw(vote);
    await clock.pass(0);
    assert.deepEqual(heard, ["vote web-1", "withdraw web-1"], "no reading for a vote");
    heard.length = 0;
    await inner.breaker.override({
      service: "orders",
      namespace: "default",
      endpoint: null,
      state: "forced-open",
      expiresAtMs: clock.epochMs() + 1_000,
    });
    await clock.pass(0);
    assert.deepEqual(heard, ["overrides 1", "votes 0"]);
    heard.length = 0;
    await clock.pass(12_001);
    assert.deepEqual(heard, ["overrides 0", "votes 0"], "a poll finds the end of an order");
    heard.length = 0;
    isAway = true;
    await clock.pass(12_001);
    assert.deepEqual(heard, ["tick"]);
    follower.close();
    assert.equal(clock.pending, 0);
  });
});
