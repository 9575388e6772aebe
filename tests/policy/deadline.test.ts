import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Handler, Routed } from "../../src/exchange.ts";
import { attemptTimeout, deadline } from "../../src/policy/deadline.ts";
import {
  createBench,
  exchangeFor,
  hanging,
  refusal,
  routed,
  sender,
  type Bench,
  type ExchangeOptions,
  type RuleOptions,
} from "../support/data-path.ts";

interface Run {
  readonly bench: Bench;
  readonly x: Routed;
  readonly reply: Promise<Response>;
}

function run(send: Handler<Routed>, rule: RuleOptions, options: ExchangeOptions = {}): Run {
  const bench = createBench();
  const x = routed(bench, exchangeFor("http://orders/", { startedAtMs: bench.clock.nowMs(), ...options }), rule);
  const reply = deadline<Routed>(bench)(attemptTimeout<Routed>(bench)(send))(x);
  reply.catch(() => {});
  return { bench, x, reply };
}

const never = sender(hanging) as Handler<Routed>;
const now = sender(() => new Response("ok")) as Handler<Routed>;

const abortedBy = (x: Routed): string | null => x.aborted?.code ?? null;

function forwarded(x: Routed, name: string): string | null {
  const headers = new Headers(x.request.headers);
  x.requestEdits.applyTo(headers);
  return headers.get(name);
}

describe("deadline()", () => {
  it("ends a hanging request at its time, not before (A-41)", async () => {
    const { bench, x, reply } = run(never, { timeouts: { requestMs: 15_000 } });
    await bench.clock.pass(14_999);
    assert.equal(x.aborted, null);
    await bench.clock.pass(21);
    const error = await refusal(reply);
    assert.equal(error.code, "ERR_DEADLINE_EXCEEDED");
    assert.equal(error.status, 504);
    assert.equal(x.aborted, error);
  });

  it("has no limit at 0", async () => {
    const { bench, x } = run(never, { timeouts: { requestMs: 0 } });
    await bench.clock.pass(3_600_000);
    assert.equal(x.aborted, null);
    assert.equal(bench.clock.pending, 0);
    assert.equal(forwarded(x, "x-envoy-expected-rq-timeout-ms"), null);
  });

  it("covers the body of a chosen limit", async () => {
    const { bench, x, reply } = run(now, { timeouts: { requestMs: 500, coversBody: true } });
    await reply;
    await bench.clock.pass(600);
    assert.equal(x.aborted?.code, "ERR_DEADLINE_EXCEEDED");
  });

  it("lets a body take longer than the limit nobody chose", async () => {
    const { bench, x, reply } = run(now, {});
    await reply;
    await bench.clock.pass(60_000);
    assert.equal(x.aborted, null);
  });

  it("lets a tunnel live", async () => {
    const { bench, x, reply } = run(now, { timeouts: { requestMs: 500, backendRequestMs: 200 } });
    await reply;
    x.status = 101;
    await bench.clock.pass(600);
    assert.equal(x.aborted, null);
  });

  it("is called off when the exchange is over", async () => {
    const { bench, x, reply } = run(now, { timeouts: { requestMs: 500, backendRequestMs: 200 } });
    await reply;
    x.finish();
    assert.equal(bench.wheel.size, 0);
  });

  it("passes on what is left of the caller's time, and shrinks its own by it", async () => {
    const headers = { "x-envoy-expected-rq-timeout-ms": "300" };
    const { bench, x } = run(never, { timeouts: { requestMs: 1_000 } }, { headers, startedAtMs: 900 });
    assert.equal(forwarded(x, "x-envoy-expected-rq-timeout-ms"), "200");
    await bench.clock.pass(220);
    assert.equal(x.aborted?.code, "ERR_DEADLINE_EXCEEDED");
  });

  it("cuts no body by what a caller announced, only by what was chosen here", async () => {
    const headers = { "x-envoy-expected-rq-timeout-ms": "300" };
    const open = run(now, { timeouts: { requestMs: 0 } }, { headers });
    await open.reply;
    await open.bench.clock.pass(60_000);
    assert.equal(open.x.aborted, null);
    const chosen = run(now, { timeouts: { requestMs: 1_000, coversBody: true } }, { headers });
    await chosen.reply;
    await chosen.bench.clock.pass(990);
    assert.equal(abortedBy(chosen.x), null);
    await chosen.bench.clock.pass(30);
    assert.equal(abortedBy(chosen.x), "ERR_DEADLINE_EXCEEDED");
  });

  it("never lets a caller lengthen it", () => {
    const { x } = run(
      never,
      { timeouts: { requestMs: 1_000 } },
      { headers: { "x-envoy-expected-rq-timeout-ms": "99999" } },
    );
    assert.equal(forwarded(x, "x-envoy-expected-rq-timeout-ms"), "1000");
  });

  for (const value of ["", "abc", "-5", "1.5", "1e3", "99999999999", " 7"]) {
    it(`ignores "${value}"`, () => {
      const { x } = run(
        never,
        { timeouts: { requestMs: 1_000 } },
        { headers: { "x-envoy-expected-rq-timeout-ms": value } },
      );
      // Platform headers trim what surrounds a value, so " 7" is 7 there, as on the wire.
      assert.equal(forwarded(x, "x-envoy-expected-rq-timeout-ms"), value === " 7" ? "7" : "1000");
    });
  }

  it("refuses what is past on arrival without sending it (504, DX)", async () => {
    for (const options of [{ headers: { "x-envoy-expected-rq-timeout-ms": "0" } }, { startedAtMs: -2_000 }]) {
      let isSent = false;
      const { reply, bench } = run(
        async () => {
          isSent = true;
          return new Response();
        },
        { timeouts: { requestMs: 1_000 } },
        options,
      );
      const error = await refusal(reply);
      assert.equal(error.code, "ERR_DEADLINE_PAST");
      assert.equal(error.flag, "DX");
      assert.equal(isSent, false);
      assert.equal(bench.wheel.size, 0);
    }
  });
});

describe("attemptTimeout()", () => {
  it("ends the attempt, not the exchange", async () => {
    const { bench, x, reply } = run(never, { timeouts: { requestMs: 0, backendRequestMs: 200 } });
    await bench.clock.pass(220);
    const error = await refusal(reply);
    assert.equal(error.code, "ERR_DEADLINE_EXCEEDED");
    assert.equal(error.sent, "body");
    assert.equal(x.aborted, null);
    assert.equal(bench.wheel.size, 0);
  });

  it("is called off with the attempt", async () => {
    const { bench, x, reply } = run(now, { timeouts: { requestMs: 0, backendRequestMs: 200 } });
    await reply;
    assert.equal(bench.wheel.size, 1);
    x.endAttempt();
    assert.equal(bench.wheel.size, 0);
  });
});
