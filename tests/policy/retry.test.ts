import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { balance } from "../../src/balance/balance.ts";
import { emptySnapshot } from "../../src/control/compile.ts";
import { MeshError, type Sent } from "../../src/errors.ts";
import type { Dispatched, Routed } from "../../src/exchange.ts";
import { backendDefaults } from "../../src/policy/backend-config.ts";
import { attemptTimeout, deadline } from "../../src/policy/deadline.ts";
import { isIdempotent, isReplayable } from "../../src/policy/replay-body.ts";
import { retry } from "../../src/policy/retry.ts";
import {
  createBench,
  exchangeFor,
  hanging,
  instance,
  refusal,
  routed,
  sender,
  type Bench,
  type ExchangeOptions,
  type RuleOptions,
} from "../support/data-path.ts";

type Answer = Response | MeshError | "hang";

interface Run {
  readonly bench: Bench;
  readonly x: Routed;
  readonly reply: Promise<Response>;
  /** Addresses asked, in order. */
  readonly asked: string[];
}

const lost = (sent: Sent): MeshError =>
  new MeshError(sent === "nothing" ? "ERR_CONNECT_FAILED" : "ERR_UPSTREAM_RESET", "lost", { sent });
const status = (code: number, headers: Record<string, string> = {}): Response =>
  new Response(`${code}`, { status: code, headers });

/** deadline → retry → attempt timeout → balance, over a scripted transport: answer n is for attempt n, the last for the rest. */
function run(
  answers: readonly Answer[],
  exchange: ExchangeOptions & { bench?: Bench } = {},
  rule: RuleOptions = {},
): Run {
  const bench = exchange.bench ?? createBench();
  if (exchange.bench === undefined)
    bench.directory.update(
      emptySnapshot(),
      ["a:1", "b:1", "c:1"].map((address) => instance("orders", address)),
    );
  const x = routed(bench, exchangeFor("http://orders/x", { startedAtMs: bench.clock.nowMs(), ...exchange }), rule);
  const asked: string[] = [];
  const send = sender((sent: Dispatched) => {
    asked.push(sent.endpoint.record.address);
    const answer = answers[Math.min(asked.length, answers.length) - 1]!;
    return answer === "hang" ? hanging() : answer;
  });
  const handler = deadline<Routed>(bench)(retry(bench)(attemptTimeout<Routed>(bench)(balance(bench)(send))));
  return { bench, x, reply: handler(x), asked };
}

async function outcome({ bench, x, reply }: Run, waitMs = 2_000): Promise<number | string> {
  const settled = reply.then(
    (response) => response.status,
    (error: unknown) => MeshError.from(error).code,
  );
  await bench.clock.pass(waitMs);
  const result = await settled;
  x.finish();
  return result;
}

describe("retry()", () => {
  const safe: readonly [string, Answer, ExchangeOptions, number][] = [
    ["repeats a GET that was reset before its answer (A-39)", lost("head"), {}, 2],
    ["repeats a GET whose answer is 503", status(503), {}, 2],
    ["repeats a POST that nothing was sent of", lost("nothing"), { method: "POST" }, 2],
    [
      "repeats a POST with a streaming body of which nothing was taken",
      lost("nothing"),
      { method: "POST", body: "hello" },
      2,
    ],
    ["does not repeat a POST whose head was sent", lost("head"), { method: "POST" }, 1],
    ["does not repeat a POST that was answered 503", status(503), { method: "POST" }, 1],
    ["does not repeat a PATCH that was reset", lost("body"), { method: "PATCH" }, 1],
    ["does not repeat a PUT whose body may be gone", lost("head"), { method: "PUT", body: "hello" }, 1],
    ["does not repeat a status that is not listed", status(500), {}, 1],
    ["does not repeat a refusal of the caller", status(404), {}, 1],
    ["does not repeat for whoever limits its rate", status(503, { "x-envoy-ratelimited": "true" }), {}, 1],
  ];
  for (const [name, answer, exchange, attempts] of safe) {
    it(name, async () => {
      const one = run([answer, status(200)], exchange);
      await outcome(one);
      assert.equal(one.asked.length, attempts);
      assert.equal(one.x.attempt, attempts);
    });
  }

  it("passes the last answer through as it is, and flags that it gave up", async () => {
    const last = status(503, { "x-mine": "yes" });
    const one = run([status(503), status(503), last]);
    assert.equal(await outcome(one), 503);
    assert.equal(await one.reply, last);
    assert.equal(await last.text(), "503");
    assert.equal(one.asked.length, 3);
    assert.equal(one.x.flag, "URX");
  });

  it("passes the last error through as it is", async () => {
    const error = lost("nothing");
    const one = run([lost("nothing"), lost("nothing"), error]);
    assert.equal(await outcome(one), "ERR_CONNECT_FAILED");
    assert.equal(await refusal(one.reply), error);
  });

  it("tries another endpoint each time", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const bench = createBench({ seed });
      bench.directory.update(
        emptySnapshot(),
        ["a:1", "b:1", "c:1"].map((address) => instance("orders", address)),
      );
      const one = run([lost("nothing"), lost("nothing"), status(200)], { bench });
      assert.equal(await outcome(one), 200);
      assert.equal(new Set(one.asked).size, 3);
    }
  });

  it("counts repeats as Gateway API does, and only statuses listed", async () => {
    const listed = { retries: 3, codes: new Set([500]) };
    const fine = run([status(500), status(500), status(200)], {}, { retry: listed });
    assert.equal(await outcome(fine), 200);
    const exhausted = run([status(500)], {}, { retry: listed });
    assert.equal(await outcome(exhausted), 500);
    assert.equal(exhausted.asked.length, 4);
    const other = run([status(503)], {}, { retry: listed });
    assert.equal(await outcome(other), 503);
    assert.equal(other.asked.length, 1);
    const connection = run([lost("head"), lost("head"), status(200)], {}, { retry: { retries: 3, codes: new Set() } });
    assert.equal(await outcome(connection), 200);
  });

  it("tells the upstream which attempt it is", async () => {
    const one = run([status(503), status(200)]);
    await outcome(one);
    const headers = new Headers();
    one.x.requestEdits.applyTo(headers);
    assert.equal(headers.get("x-envoy-attempt-count"), "2");
  });

  it("lets a discarded answer go before it waits", async () => {
    let isCancelled = false;
    const first = new Response(new ReadableStream({ cancel: () => void (isCancelled = true) }), { status: 503 });
    const one = run([first, status(200)]);
    const a = one.bench.directory.find("default/orders")!.endpoints.find(({ inFlight }) => inFlight > 0);
    await one.bench.clock.pass(0);
    assert.equal(isCancelled, true);
    assert.equal(a!.inFlight, 0);
    assert.equal(one.bench.directory.find("default/orders")!.limits.retries, 1);
    assert.equal(await outcome(one), 200);
    assert.equal(one.bench.directory.find("default/orders")!.limits.retries, 0);
  });

  it("waits between 0 and 25 ms before the first repeat, and at least the configured backoff", async () => {
    const one = run([status(503), status(200)]);
    await one.bench.clock.pass(25);
    assert.equal(one.asked.length, 2);
    const patient = run([status(503), status(200)], {}, { retry: { backoffMinMs: 100 } });
    await patient.bench.clock.pass(99);
    assert.equal(patient.asked.length, 1);
    await patient.bench.clock.pass(26);
    assert.equal(patient.asked.length, 2);
  });

  it("stops when the caller leaves, during an attempt and during a wait (L32)", async () => {
    const gone = new MeshError("ERR_DOWNSTREAM_CLOSED", "gone");
    const during = run(["hang"]);
    await during.bench.clock.pass(1);
    during.x.abort(gone);
    assert.equal(await outcome(during), "ERR_DOWNSTREAM_CLOSED");
    assert.equal(during.asked.length, 1);

    const between = run([status(503), status(200)], {}, { retry: { backoffMinMs: 1_000 } });
    await between.bench.clock.pass(10);
    between.x.abort(gone);
    assert.equal(await refusal(between.reply), gone);
    assert.equal(between.asked.length, 1);
    between.x.finish();
    assert.equal(between.bench.directory.find("default/orders")!.limits.retries, 0);
    await between.bench.clock.pass(30_000);
    assert.equal(between.bench.clock.pending, 0);
  });

  it("stops when the budget is spent, says so, and keeps the amplification at 1.2 (A-40, I18)", async () => {
    const bench = createBench();
    bench.directory.update(
      emptySnapshot(),
      ["a:1", "b:1", "c:1"].map((address) => instance("orders", address)),
    );
    const config = { ...backendDefaults, retryBudget: { ...backendDefaults.retryBudget, minPerSecond: 0 } };
    bench.directory.find("default/orders")!.retryBudget.configure(config.retryBudget);
    let asked = 0;
    const flags: string[] = [];
    for (let i = 0; i < 500; i++) {
      const one = run([status(503)], { bench }, { config });
      assert.equal(await outcome(one, 100), 503);
      asked += one.asked.length;
      flags.push(one.x.flag);
    }
    assert.ok(asked <= 600, String(asked));
    assert.ok(asked >= 580, String(asked));
    assert.ok(flags.includes("RB"));
    assert.ok(bench.heard.includes("refused budget"));
  });

  it("keeps to a configured number of repeats at once", async () => {
    const bench = createBench();
    bench.directory.update(
      emptySnapshot(),
      ["a:1", "b:1"].map((address) => instance("orders", address)),
    );
    const config = { ...backendDefaults, limits: { ...backendDefaults.limits, maxRetries: 2 } };
    const runs = Array.from({ length: 5 }, () =>
      run([status(503), status(200)], { bench }, { config, retry: { backoffMinMs: 50 } }),
    );
    await bench.clock.pass(500);
    const replies = await Promise.all(runs.map(({ reply }) => reply));
    assert.deepEqual(
      replies.map((reply) => reply.status).sort((a, b) => a - b),
      [200, 200, 503, 503, 503],
    );
    assert.equal(bench.heard.filter((line) => line === "refused limit").length, 3);
    for (const { x } of runs) x.finish();
    assert.equal(bench.directory.find("default/orders")!.limits.retries, 0);
  });

  it("does not start what the deadline would end", async () => {
    const one = run([status(503)], {}, { timeouts: { requestMs: 40 }, retry: { backoffMinMs: 50 } });
    assert.equal(await outcome(one), 503);
    assert.equal(one.asked.length, 1);
    assert.ok(one.bench.heard.includes("refused deadline"));
  });

  it("repeats attempts that took too long within the total deadline (HTTPRouteRetryWithTimeouts)", async () => {
    const rule = { timeouts: { requestMs: 0, backendRequestMs: 200 } };
    const third = run(["hang", "hang", status(200)], {}, rule);
    assert.equal(await outcome(third), 200);
    const never = run(["hang"], {}, rule);
    assert.equal(await outcome(never), "ERR_DEADLINE_EXCEEDED");
    assert.equal(never.asked.length, 3);
    const total = run(["hang"], {}, { timeouts: { requestMs: 400, backendRequestMs: 300 } });
    await total.bench.clock.pass(420);
    assert.equal((await refusal(total.reply)).status, 504);
    assert.equal(total.asked.length, 2);
    const once = run(["hang"], { method: "POST" }, rule);
    assert.equal(await outcome(once), "ERR_DEADLINE_EXCEEDED");
    assert.equal(once.asked.length, 1);
  });

  it("leaves nothing behind after a thousand requests with deadlines, timeouts and repeats", async () => {
    const bench = createBench();
    bench.directory.update(
      emptySnapshot(),
      ["a:1", "b:1"].map((address) => instance("orders", address)),
    );
    for (let i = 0; i < 1_000; i++) {
      const answers: Answer[] =
        i % 3 === 0 ? [status(503), status(200)] : i % 3 === 1 ? [lost("nothing"), status(200)] : [status(200)];
      await outcome(run(answers, { bench }, { timeouts: { requestMs: 5_000, backendRequestMs: 1_000 } }), 60);
    }
    const cluster = bench.directory.find("default/orders")!;
    assert.equal(bench.wheel.size, 0);
    await bench.clock.pass(20);
    assert.equal(bench.clock.pending, 0);
    assert.equal(cluster.limits.retries, 0);
    for (const endpoint of cluster.endpoints) assert.equal(endpoint.inFlight, 0);
  });
});

describe("isReplayable()", () => {
  const wire = (source: object): Request => ({ source, bodyUsed: false }) as unknown as Request;
  const cases: readonly [string, Request, Sent, boolean][] = [
    ["a body kept whole", wire({ whole: new Uint8Array(3), length: 3 }), "body", true],
    ["no body", wire({ whole: null, length: 0 }), "body", true],
    ["a body in motion that nobody took from", wire({ whole: null, length: null, isPiped: false }), "nothing", true],
    ["a body in motion, taken from", wire({ whole: null, length: null, isPiped: true }), "nothing", false],
    ["a body in motion, partly sent", wire({ whole: null, length: null, isPiped: false }), "head", false],
    ["a body in motion of which nothing is known", wire({ whole: null, length: null }), "nothing", false],
    ["a platform request without a body", new Request("http://x/"), "body", true],
  ];
  for (const [name, request, sent, expected] of cases)
    it(`says ${expected} for ${name}`, () => assert.equal(isReplayable(request, sent), expected));
});

describe("isIdempotent()", () => {
  it("follows RFC 9110 §9.2.2", () => {
    for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]) assert.equal(isIdempotent(method), true);
    for (const method of ["POST", "PATCH", "CONNECT", "get", "FOO"]) assert.equal(isIdempotent(method), false);
  });
});
