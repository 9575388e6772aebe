import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { balance } from "../../src/balance/balance.ts";
import { emptySnapshot } from "../../src/control/compile.ts";
import { MeshError } from "../../src/errors.ts";
import type { Dispatched, Routed } from "../../src/exchange.ts";
import {
  createBench,
  exchangeFor,
  hanging,
  instance,
  refusal,
  routed,
  sender,
  type Bench,
} from "../support/data-path.ts";

function meshOf(...addresses: string[]): Bench {
  const bench = createBench();
  bench.directory.update(
    emptySnapshot(),
    addresses.map((address) => instance("orders", address)),
  );
  return bench;
}

type Answer = (x: Dispatched) => Response | MeshError | Promise<Response>;

/** One attempt through the layer; the exchange is left unfinished. */
function attempt(bench: Bench, answer: Answer): { x: Routed; reply: Promise<Response> } {
  const x = routed(bench, exchangeFor("http://orders/"));
  x.attempt = 1;
  return { x, reply: balance(bench)(sender(answer))(x) };
}

async function answered(bench: Bench, answer: Answer): Promise<Routed> {
  const { x, reply } = attempt(bench, answer);
  await reply.catch(() => {});
  x.finish();
  return x;
}

const ok = (): Response => new Response("ok");
const sick = (): Response => new Response("sick", { status: 500 });
const reset = (): MeshError => new MeshError("ERR_UPSTREAM_RESET", "reset", { sent: "head" });

describe("balance()", () => {
  it("counts an attempt as load until its response is complete", async () => {
    const bench = meshOf("a:1");
    const [a] = bench.directory.find("default/orders")!.endpoints;
    const { x, reply } = attempt(bench, ok);
    assert.equal(a!.inFlight, 1);
    await reply;
    assert.equal(a!.inFlight, 1);
    x.finish();
    assert.equal(a!.inFlight, 0);
    assert.deepEqual(bench.heard, ["attempt 1 a:1 200"]);
  });

  it("ends the load of a failed and of an aborted attempt too", async () => {
    const bench = meshOf("a:1");
    const [a] = bench.directory.find("default/orders")!.endpoints;
    await answered(bench, reset);
    const { x, reply } = attempt(bench, hanging);
    x.abort(new MeshError("ERR_DOWNSTREAM_CLOSED", "gone"));
    assert.equal((await refusal(reply)).code, "ERR_DOWNSTREAM_CLOSED");
    x.finish();
    assert.equal(a!.inFlight, 0);
    assert.deepEqual(bench.heard, ["attempt 1 a:1 ERR_UPSTREAM_RESET", "attempt 1 a:1 ERR_DOWNSTREAM_CLOSED"]);
  });

  it("ejects after five consecutive failures of one of three, and probes after 30 s (A-42)", async () => {
    const bench = meshOf("a:1", "b:1", "c:1");
    const answer: Answer = (x) => (x.endpoint.record.address === "a:1" ? sick() : ok());
    for (let i = 0; i < 200; i++) await answered(bench, answer);
    const cluster = bench.directory.find("default/orders")!;
    assert.deepEqual(
      cluster.choice.ejected.map(({ record }) => record.address),
      ["a:1"],
    );
    assert.equal(bench.heard.filter((line) => line.startsWith("attempt 1 a:1")).length, 5);
    assert.ok(bench.heard.includes("a:1 closed > open local"));

    bench.clock.advance(33_001);
    bench.heard.length = 0;
    const probe = attempt(bench, hanging);
    assert.equal(probe.x.endpoint!.record.address, "a:1");
    for (let i = 0; i < 50; i++) await answered(bench, answer);
    assert.equal(bench.heard.filter((line) => line.startsWith("attempt 1 a:1")).length, 0, "one probe at a time");
    probe.x.interrupt!(reset());
    await refusal(probe.reply);
    probe.x.finish();
    assert.ok(bench.heard.includes("a:1 half-open > open local"));

    bench.clock.advance(70_000);
    await answered(bench, ok);
    assert.ok(bench.heard.includes("a:1 half-open > closed local"));
    assert.equal(cluster.choice.available.length, 3);
  });

  it("closes on the head of a probe's answer, not on the end of its body", async () => {
    const bench = meshOf("a:1", "b:1");
    for (let i = 0; i < 60; i++) await answered(bench, (x) => (x.endpoint.record.address === "a:1" ? sick() : ok()));
    bench.clock.advance(34_000);
    const { x, reply } = attempt(bench, ok);
    await reply;
    assert.equal(x.endpoint!.record.address, "a:1");
    assert.equal(x.endpoint!.breaker.current.kind, "closed");
  });

  it("gives a probe's place to the next if its caller leaves", async () => {
    const bench = meshOf("a:1", "b:1");
    for (let i = 0; i < 60; i++) await answered(bench, (x) => (x.endpoint.record.address === "a:1" ? sick() : ok()));
    bench.clock.advance(34_000);
    const probe = attempt(bench, hanging);
    probe.x.abort(new MeshError("ERR_DOWNSTREAM_CLOSED", "gone"));
    await refusal(probe.reply);
    probe.x.finish();
    assert.equal((await answered(bench, ok)).endpoint!.record.address, "a:1");
  });

  it("counts a body that the upstream cut as a failure, and one its reader left as none", async () => {
    const bench = meshOf("a:1");
    const [a] = bench.directory.find("default/orders")!.endpoints;
    for (let i = 0; i < 4; i++) {
      const { x, reply } = attempt(bench, ok);
      await reply;
      x.abort(reset());
      x.finish();
    }
    assert.equal(a!.breaker.consecutiveFailures, 4);
    const { x, reply } = attempt(bench, ok);
    await reply;
    x.abort(new MeshError("ERR_DOWNSTREAM_CLOSED", "gone"));
    x.finish();
    assert.equal(a!.breaker.consecutiveFailures, 0);
  });

  it("ignores what attempts from before a transition report", async () => {
    const bench = meshOf("a:1", "b:1");
    const late = Promise.withResolvers<Response>();
    const early = Array.from({ length: 12 }, () => attempt(bench, () => late.promise));
    const onA = early.filter(({ x }) => x.endpoint!.record.address === "a:1");
    assert.ok(onA.length > 2);
    const [a] = bench.directory.find("default/orders")!.endpoints;
    for (let i = 0; a!.breaker.current.kind === "closed" && i < 500; i++)
      await answered(bench, (x) => (x.endpoint === a ? sick() : ok()));
    assert.equal(a!.breaker.current.kind, "open");
    // Late good news does not close, or an opening would last as long as the slowest request in flight.
    late.resolve(ok());
    for (const { x, reply } of early) {
      await reply;
      x.finish();
    }
    assert.equal(a!.breaker.current.kind, "open");
    assert.equal(a!.inFlight, 0);
  });

  it("keeps serving when every endpoint fails, half of them at least (A-43)", async () => {
    const bench = meshOf("a:1", "b:1", "c:1", "d:1");
    for (let i = 0; i < 300; i++) await answered(bench, sick);
    const { choice } = bench.directory.find("default/orders")!;
    assert.equal(choice.ejected.length, 2);
    assert.equal(choice.available.length, 2);
    assert.equal((await answered(bench, ok)).endpoint!.breaker.current.kind, "closed");
  });

  it("never refuses the only endpoint for its failures", async () => {
    const bench = meshOf("a:1");
    for (let i = 0; i < 20; i++) await answered(bench, sick);
    assert.equal(bench.heard.filter((line) => line.startsWith("attempt")).length, 20);
    assert.equal(bench.directory.find("default/orders")!.endpoints[0]!.breaker.current.kind, "open");
    await answered(bench, ok);
    assert.equal(bench.directory.find("default/orders")!.endpoints[0]!.breaker.current.kind, "closed");
  });

  it("says that nothing is registered, or that everything weighs 0 (503, UH)", async () => {
    const bench = createBench();
    const none = await refusal(attempt(bench, ok).reply);
    assert.equal(none.code, "ERR_NO_ENDPOINT");
    assert.match(none.advice!, /--service orders/);
    bench.directory.update(emptySnapshot(), [instance("orders", "a:1", { weight: 0 })]);
    assert.match((await refusal(attempt(bench, ok).reply)).message, /weight 0/);
  });

  it("refuses what an operator opened, and says for how long (503, BO)", async () => {
    const bench = meshOf("a:1", "b:1");
    bench.fleet.onOverrides([
      {
        service: "orders",
        namespace: "default",
        endpoint: null,
        state: "forced-open",
        expiresAtMs: bench.clock.epochMs() + 60_000,
      },
    ]);
    const error = await refusal(attempt(bench, ok).reply);
    assert.equal(error.code, "ERR_CIRCUIT_OPEN");
    assert.equal(error.flag, "BO");
    assert.equal(error.retryAfterMs, 60_000);
    bench.clock.advance(60_000);
    assert.equal((await answered(bench, ok)).endpoint!.breaker.current.kind, "closed");
  });
});
