import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { errorTable, MeshError, type MeshErrorCode } from "../src/errors.ts";
import type { Exchange } from "../src/exchange.ts";
import { problemResponse, problemText } from "../src/problem.ts";
import { rescue, type RescueDeps } from "../src/rescue.ts";
import { makeExchange, webPeer, type ExchangeParts } from "./observe/exchanges.ts";

const by = "sidecar orders/orders-6f2c";
const cause = new Error("connect ECONNREFUSED 10.1.2.3:8080");
const refused = new MeshError("ERR_CONNECT_FAILED", "the application at 127.0.0.1:8080 does not answer", { cause });

async function rescued(
  reason: unknown,
  parts: ExchangeParts = {},
  deps: Partial<RescueDeps> = {},
): Promise<{ x: Exchange; response: Response }> {
  const x = makeExchange(parts);
  x.requestId = "id-1";
  const response = await rescue({ by, ...deps })(() => Promise.reject(reason))(x);
  return { x, response };
}

async function problem(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}

describe("rescue()", () => {
  it("passes a reply through and notes its status", async () => {
    const x = makeExchange();
    const reply = new Response("fine", { status: 201 });
    assert.equal(await rescue({ by })(async () => reply)(x), reply);
    assert.equal(x.status, 201);
    assert.equal(x.error, null);
  });

  for (const code of Object.keys(errorTable) as MeshErrorCode[]) {
    it(`makes of ${code} the status, flag and title of the table`, async () => {
      const { x, response } = await rescued(new MeshError(code, "what happened"));
      const { status, flag, title } = errorTable[code];
      assert.equal(response.status, status);
      assert.equal(x.status, status);
      assert.equal(x.flag, flag);
      assert.equal(x.error?.code, code);
      if (code === "ERR_DOWNSTREAM_CLOSED") return;
      assert.equal(response.headers.get("server"), "fetchmesh");
      assert.equal(response.headers.get("x-mesh-error"), code);
      assert.equal(response.headers.get("x-mesh-flag"), flag === "" ? null : flag);
      assert.equal(response.headers.get("content-type"), "application/problem+json");
      const text = await response.text();
      assert.equal(response.headers.get("content-length"), String(new TextEncoder().encode(text).length));
      const body = JSON.parse(text) as Record<string, unknown>;
      assert.equal(body["type"], `https://fetchmesh.dev/problems/${code}`);
      assert.equal(body["title"], title);
      assert.equal(body["status"], status);
      assert.equal(body["code"], code);
      assert.equal(body["requestId"], "id-1");
      assert.equal(body["by"], by);
      assert.equal(body["detail"], "what happened");
    });
  }

  it("says what to do for every refusal that a caller or an operator can do something about", () => {
    const helpless: ReadonlySet<MeshErrorCode> = new Set([
      "ERR_DOWNSTREAM_CLOSED",
      "ERR_METHOD_NOT_ALLOWED",
      "ERR_METHOD_NOT_IMPLEMENTED",
      "ERR_VERSION_NOT_SUPPORTED",
      "ERR_OPTION_INVALID",
      "ERR_CAPABILITY_MISSING",
    ]);
    const codes = (Object.keys(errorTable) as MeshErrorCode[]).filter((code) => errorTable[code].origin !== "control");
    for (const code of codes) {
      const body = JSON.parse(problemText(new MeshError(code, "x"), { audience: "app", by })) as Record<
        string,
        unknown
      >;
      if (!helpless.has(code)) assert.equal(typeof body["advice"], "string", code);
    }
  });

  it("tells the application everything, with the chain of causes", async () => {
    const { response } = await rescued(refused, { direction: "outbound" });
    assert.equal(
      (await problem(response))["detail"],
      "the application at 127.0.0.1:8080 does not answer: connect ECONNREFUSED 10.1.2.3:8080",
    );
  });

  it("tells a peer the message, which names the application that is not up, without causes", async () => {
    const { response } = await rescued(refused, { direction: "inbound", connection: { peer: webPeer } });
    assert.equal((await problem(response))["detail"], "the application at 127.0.0.1:8080 does not answer");
  });

  it("tells a caller without identity nothing that is not in the code", async () => {
    const error = new MeshError("ERR_CONNECT_FAILED", refused.message, { cause, advice: "look at 10.1.2.3" });
    const { response } = await rescued(error, { direction: "inbound" });
    const text = JSON.stringify([await problem(response), ...response.headers]);
    for (const secret of ["127.0.0.1", "10.1.2.3", "8080", "orders", "6f2c"])
      assert.ok(!text.includes(secret), `${secret} leaked: ${text}`);
  });

  it("never shows a peer the message of a defect, and has it logged", async () => {
    const defects: MeshError[] = [];
    const onDefect = (error: MeshError): void => void defects.push(error);
    const { response } = await rescued(
      new TypeError("secret is undefined"),
      { direction: "inbound", connection: { peer: webPeer } },
      { onDefect },
    );
    assert.equal(response.status, 500);
    assert.equal((await problem(response))["detail"], "Internal error");
    assert.equal(defects.length, 1);
    assert.ok(defects[0]?.cause instanceof TypeError);
  });

  it("catches what is thrown before a promise exists", async () => {
    const x = makeExchange();
    const response = await rescue({ by })(() => {
      throw new MeshError("ERR_NO_ENDPOINT", "none");
    })(x);
    assert.equal(response.status, 503);
    assert.equal(x.flag, "UH");
  });

  it("answers HEAD without a body and with the body's length", async () => {
    const { response } = await rescued(refused, { method: "HEAD" });
    assert.equal(response.body, null);
    assert.ok(Number(response.headers.get("content-length")) > 100);
  });

  it("makes no body for a caller that is gone", async () => {
    const { x, response } = await rescued(new MeshError("ERR_DOWNSTREAM_CLOSED", "gone"));
    assert.equal(response.body, null);
    assert.equal(x.status, 499);
    assert.equal(x.flag, "DC");
  });

  it("uses the thrower's flag, advice and time to wait, rounded up", async () => {
    const error = new MeshError("ERR_CIRCUIT_OPEN", "open", { flag: "BQ", advice: "wait", retryAfterMs: 1_001 });
    const { x, response } = await rescued(error);
    assert.equal(x.flag, "BQ");
    assert.equal(response.headers.get("x-mesh-flag"), "BQ");
    assert.equal(response.headers.get("retry-after"), "2");
    const body = await problem(response);
    assert.equal(body["flag"], "BQ");
    assert.equal(body["advice"], "wait");
  });

  it("leaves the flag of a station that gave up for a reason of its own", async () => {
    const x = makeExchange();
    const response = await rescue({ by })(async (inner) => {
      inner.flag = "RB";
      throw refused;
    })(x);
    assert.equal(x.flag, "RB");
    assert.equal(response.headers.get("x-mesh-flag"), "UF");
  });

  it("marks overload and rate limits as Envoy does, so that callers do not retry into them", async () => {
    assert.equal(
      (await rescued(new MeshError("ERR_OVERLOADED", "full"))).response.headers.get("x-envoy-overloaded"),
      "true",
    );
    assert.equal(
      (await rescued(new MeshError("ERR_RATE_LIMITED", "slow"))).response.headers.get("x-envoy-ratelimited"),
      "true",
    );
  });
});

describe("problemResponse()", () => {
  it("counts the body's length in bytes, whatever its text", async () => {
    for (const message of ["plain", "ü", "漢字", "😀 \u2028", 'quote " and \n', "\ud800 alone"]) {
      const response = problemResponse(new MeshError("ERR_NO_ENDPOINT", message), { audience: "app", by });
      const bytes = new Uint8Array(await response.clone().arrayBuffer());
      assert.equal(response.headers.get("content-length"), String(bytes.length), message);
      assert.equal((await problem(response))["detail"], message);
    }
  });
});
