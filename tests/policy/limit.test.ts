import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MeshError } from "../../src/errors.ts";
import type { Routed } from "../../src/exchange.ts";
import { backendDefaults, resolveBackend } from "../../src/policy/backend-config.ts";
import { classifyError, classifyStatus } from "../../src/policy/classify.ts";
import { limit } from "../../src/policy/limit.ts";
import { createBench, exchangeFor, refusal, routed } from "../support/data-path.ts";

const config = { ...backendDefaults, limits: { ...backendDefaults.limits, maxRequests: 3, maxPendingRequests: 2 } };

describe("limit()", () => {
  it("refuses one request too many, says so, and frees a place when a response is complete", async () => {
    const bench = createBench();
    const pass = limit<Routed>()(() => Promise.resolve(new Response()));
    const served = [];
    for (let i = 0; i < 3; i++) {
      const x = routed(bench, exchangeFor("http://orders/"), { config });
      await pass(x);
      served.push(x);
    }
    const refused = routed(bench, exchangeFor("http://orders/"), { config });
    const error = await refusal(pass(refused));
    assert.equal(error.code, "ERR_OVERLOADED");
    assert.equal(error.flag, "UO");
    assert.equal(error.status, 503);
    const headers = new Headers();
    refused.responseEdits.applyTo(headers);
    assert.equal(headers.get("x-envoy-overloaded"), "true");
    refused.finish();
    served[0]!.finish();
    await pass(routed(bench, exchangeFor("http://orders/"), { config }));
  });

  it("counts as pending only until the head arrives, or never will", async () => {
    const bench = createBench();
    const reply = Promise.withResolvers<Response>();
    const hold = limit<Routed>()(() => reply.promise);
    const waiting = [0, 1].map(() => hold(routed(bench, exchangeFor("http://orders/"), { config })));
    const error = await refusal(hold(routed(bench, exchangeFor("http://orders/"), { config })));
    assert.match(error.message, /pending/);
    reply.reject(new MeshError("ERR_UPSTREAM_RESET", "reset"));
    await Promise.allSettled(waiting);
    assert.equal(bench.directory.find("default/orders")!.limits.pending, 0);
  });
});

describe("classify", () => {
  it("blames the endpoint for 5xx, resets, refused connections and timeouts, and for nothing else", () => {
    for (const status of [200, 204, 301, 404, 429, 499]) assert.equal(classifyStatus(status), "success");
    for (const status of [500, 502, 503, 504, 599]) assert.equal(classifyStatus(status), "failure");
    for (const code of [
      "ERR_CONNECT_FAILED",
      "ERR_CONNECT_TIMEOUT",
      "ERR_UPSTREAM_RESET",
      "ERR_UPSTREAM_PROTOCOL",
      "ERR_UPSTREAM_IDENTITY",
      "ERR_DEADLINE_EXCEEDED",
      "ERR_STREAM_IDLE",
    ] as const) {
      assert.equal(classifyError(new MeshError(code, "")), "failure");
    }
    for (const code of [
      "ERR_DOWNSTREAM_CLOSED",
      "ERR_OVERLOADED",
      "ERR_NO_ENDPOINT",
      "ERR_CIRCUIT_OPEN",
      "ERR_DEADLINE_PAST",
      "ERR_INTERNAL",
      "ERR_REQUEST_MALFORMED",
    ] as const) {
      assert.equal(classifyError(new MeshError(code, "")), "nothing");
    }
  });
});

describe("resolveBackend()", () => {
  const policy = (spec: object) => ({ spec }) as Parameters<typeof resolveBackend>[0];

  it("is the frozen defaults without a policy", () => {
    assert.equal(resolveBackend(), backendDefaults);
    assert.ok(Object.isFrozen(backendDefaults) && Object.isFrozen(backendDefaults.breaker));
  });

  it("overrides field by field and converts units", () => {
    const resolved = resolveBackend(
      policy({
        balance: { algorithm: "round-robin" },
        limits: { maxRetries: 3 },
        breaker: { openFor: "5s", maxEjectionPercent: 30, quorum: 0.2, shared: false },
        retry: { attempts: 4, backoff: "100ms", codes: [500] },
        retryBudget: { percent: 10, interval: "1m" },
        timeouts: { request: "1m30s", connect: "250ms" },
      }),
    );
    assert.equal(resolved.algorithm, "round-robin");
    assert.deepEqual(resolved.limits, { ...backendDefaults.limits, maxRetries: 3 });
    assert.deepEqual(resolved.breaker, {
      ...backendDefaults.breaker,
      openMs: 5_000,
      maxEjectedRatio: 0.3,
      quorum: 0.2,
      isShared: false,
    });
    assert.deepEqual(resolved.retry, {
      retries: 4,
      codes: new Set([500]),
      backoffMinMs: 100,
      backoffBaseMs: 25,
      backoffMaxMs: 250,
    });
    assert.deepEqual(resolved.retryBudget, { ratio: 0.1, minPerSecond: 10, windowMs: 60_000 });
    assert.deepEqual(resolved.timeouts, { requestMs: 90_000, backendRequestMs: 0, coversBody: true });
    assert.equal(resolved.connectTimeoutMs, 250);
  });

  it("keeps 0 as none, and a default limit on heads only", () => {
    assert.equal(resolveBackend(policy({ timeouts: { request: "0s" } })).timeouts.requestMs, 0);
    assert.equal(resolveBackend(policy({ timeouts: { backendRequest: "1s" } })).timeouts.coversBody, false);
  });
});
