import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Exchange } from "../../src/exchange.ts";
import { randomIds } from "../../src/observe/ids.ts";
import { parseTraceParent } from "../../src/observe/trace-context.ts";
import { trace, type TraceDeps } from "../../src/observe/trace.ts";
import { makeExchange, webPeer, type ExchangeParts } from "./exchanges.ts";

const valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

function traced(parts: ExchangeParts, deps: TraceDeps = {}): { x: Exchange; sent: Headers } {
  const x = makeExchange(parts);
  void trace(deps)(async () => new Response())(x);
  const sent = new Headers((parts.headers ?? []).map(([name, value]) => [name, value] as [string, string]));
  x.requestEdits.applyTo(sent);
  return { x, sent };
}

describe("trace()", () => {
  it("gives a request without ids a UUIDv4 and a new trace", () => {
    const { x, sent } = traced({});
    assert.match(x.requestId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(sent.get("x-request-id"), x.requestId);
    assert.match(sent.get("traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.equal(sent.get("traceparent")?.slice(3, 35), x.traceId);
  });

  it("keeps the application's request id, and a peer's", () => {
    for (const parts of [{}, { direction: "inbound", connection: { peer: webPeer } }] as const) {
      const { x, sent } = traced({ ...parts, headers: [["X-Request-Id", "mine-1"]] });
      assert.equal(x.requestId, "mine-1");
      assert.equal(x.requestEdits.isRemoved("x-request-id"), false, "the received line is forwarded as it came");
      assert.equal(sent.get("x-request-id"), "mine-1");
    }
  });

  it("replaces the request id of a caller without identity, and one that is not fit for a log", () => {
    const stranger = traced({ direction: "inbound", headers: [["x-request-id", "mine-1"]] });
    assert.notEqual(stranger.x.requestId, "mine-1");
    for (const bad of ["", "a b", "a\u00e9", "x".repeat(129), "a,\tb"]) {
      const { x, sent } = traced({ headers: [["x-request-id", bad]] });
      assert.equal(x.requestId.length, 36);
      assert.equal(sent.get("x-request-id"), x.requestId);
    }
  });

  it("continues a trace with a span of its own, and leaves tracestate and the sampled bit alone", () => {
    for (const flags of ["00", "01"]) {
      const { x, sent } = traced(
        {
          headers: [
            ["traceparent", valid.slice(0, 53) + flags],
            ["tracestate", "a=1,b=2"],
          ],
        },
        { sampledRatio: 0 },
      );
      assert.equal(x.traceId, valid.slice(3, 35));
      assert.equal(sent.get("traceparent")?.slice(0, 36), valid.slice(0, 36));
      assert.notEqual(sent.get("traceparent")?.slice(36, 52), valid.slice(36, 52));
      assert.equal(sent.get("traceparent")?.slice(53), flags);
      assert.equal(sent.get("tracestate"), "a=1,b=2");
    }
  });

  it("begins a new trace, and drops tracestate, when traceparent is not valid", () => {
    const doubled = traced({
      headers: [
        ["traceparent", valid],
        ["traceparent", valid],
        ["tracestate", "a=1"],
      ],
    });
    assert.notEqual(doubled.x.traceId, valid.slice(3, 35));
    assert.equal(doubled.sent.get("tracestate"), null);
    assert.equal(doubled.sent.get("traceparent")?.length, 55);
  });

  it("samples the share it is told to, decided by the trace id", () => {
    const ids = randomIds();
    const layer = trace({ ids, sampledRatio: 0.25 })(async () => new Response());
    let sampled = 0;
    for (let i = 0; i < 4_000; i++) {
      const x = makeExchange();
      void layer(x);
      if (x.requestEdits.added?.at(-1)?.endsWith("-01") === true) sampled++;
    }
    assert.ok(sampled > 800 && sampled < 1_200, `${sampled} of 4000`);
  });
});

describe("parseTraceParent()", () => {
  it("agrees with the specification's grammar on any text", () => {
    const version00 = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
    const later = /^(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/s;
    const digits = (length: number): fc.Arbitrary<string> =>
      fc.oneof(
        fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length }),
        fc.constant("0".repeat(length)),
        fc.string({ unit: fc.constantFrom(..."0aAgG-"), minLength: length, maxLength: length }),
      );
    const near = fc
      .tuple(
        fc.constantFrom("00", "01", "cc", "ff", "0G"),
        digits(32),
        digits(16),
        digits(2),
        fc.constantFrom("", "-", "-x", ".", "x"),
      )
      .map(([version, traceId, parentId, flags, rest]) => `${version}-${traceId}-${parentId}-${flags}${rest}`);
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ maxLength: 60 })), (text) => {
        assert.equal(parseTraceParent(text) !== null, version00.test(text) || later.test(text), text);
      }),
      { numRuns: 2_000 },
    );
  });

  it("reads the parts", () => {
    assert.deepEqual(parseTraceParent(valid), {
      traceId: valid.slice(3, 35),
      parentId: valid.slice(36, 52),
      isSampled: true,
    });
    assert.equal(parseTraceParent(`${valid.slice(0, 53)}fe`)?.isSampled, false);
  });
});

describe("randomIds()", () => {
  it("never repeats itself across its pages of randomness, and never is all zero", () => {
    const ids = randomIds();
    const seen = new Set<string>();
    for (let i = 0; i < 3_000; i++) for (const id of [ids.requestId(), ids.traceId(), ids.spanId()]) seen.add(id);
    assert.equal(seen.size, 9_000);
    assert.ok(![...seen].some((id) => /^0+$/.test(id)));
  });

  it("is valid even if all its random bytes are zero", () => {
    const original = crypto.getRandomValues.bind(crypto);
    crypto.getRandomValues = <T>(bytes: T): T => bytes;
    try {
      const x = makeExchange();
      void trace({})(async () => new Response())(x);
      assert.notEqual(parseTraceParent(x.requestEdits.added?.[3] ?? ""), null);
    } finally {
      crypto.getRandomValues = original;
    }
  });
});
