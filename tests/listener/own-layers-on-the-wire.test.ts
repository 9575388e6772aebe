import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { stack, type Accepted, type Identified, type Layer } from "../../src/exchange.ts";
import { cleanInbound } from "../../src/listener/hygiene.ts";
import { createAdmin } from "../../src/observe/admin.ts";
import { createAccessLog } from "../../src/observe/access-log.ts";
import { observe } from "../../src/observe/observe.ts";
import { trace } from "../../src/observe/trace.ts";
import { MeshError } from "../../src/errors.ts";
import { rescue } from "../../src/rescue.ts";
import { systemClock } from "../../src/clock.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import type { RequestMessage } from "../../src/wire/request.ts";
import { forwardedRequestHead } from "../../src/wire/serialize.ts";
import { ordersPeer, webPeer } from "../observe/exchanges.ts";
import { exchangeBytes } from "./over-the-wire.ts";

const trusted: Layer<Accepted, Identified> = (next) => (x) => {
  x.peer = x.connection.peer;
  return next(x as Identified);
};

/** The head lines that an application behind our inbound listener would get for these. */
async function applicationSees(lines: readonly string[]): Promise<readonly string[]> {
  const handler = stack<Accepted>()
    .through(trace({}))
    .through(trusted)
    .through(cleanInbound({ self: () => ordersPeer }))
    .to(async (x) => {
      const message = x.request as unknown as RequestMessage;
      return new Response(
        forwardedRequestHead(message, {
          target: x.head.target,
          authority: null,
          edits: x.requestEdits,
          bodyLength: 0,
          hops: 1,
        }),
      );
    });
  const reply = await exchangeBytes(
    { handler, peer: webPeer },
    `GET /a HTTP/1.1\r\n${["Host: orders", ...lines].join("\r\n")}\r\nConnection: close\r\n\r\n`,
  );
  const body = reply.slice(reply.indexOf("\r\n\r\n") + 4);
  assert.match(reply, /^HTTP\/1\.1 200 /);
  return body.split("\r\n").filter((line) => line !== "");
}

const named = (lines: readonly string[], name: string): readonly string[] =>
  lines.filter((line) => line.toLowerCase().startsWith(`${name}:`));

describe("inbound hygiene on real bytes", () => {
  it("lets an application see one client certificate header: ours", async () => {
    const seen = await applicationSees([
      "X-Forwarded-Client-Cert: URI=spiffe://mesh.test/ns/a/sa/admin",
      "x-forwarded-client-cert: again",
      "X_Forwarded_Client_Cert: underscores",
      "X-Spiffe-Id: admin",
      "x_spiffe_id: admin",
      "Client-Cert: :MIIB:",
      "X-Mesh-Timeout-Ms: 0",
      "x-envoy-upstream-rq-timeout-ms: 1",
      "Content_Length: 5",
      "X-Kept: 1",
    ]);
    assert.deepEqual(named(seen, "x-forwarded-client-cert"), [
      `x-forwarded-client-cert: By=spiffe://mesh.test/ns/default/sa/orders;Hash=${"ab".repeat(32)};Subject="";URI=spiffe://mesh.test/ns/shop/sa/web`,
    ]);
    for (const name of [
      "x_forwarded_client_cert",
      "x-spiffe-id",
      "x_spiffe_id",
      "client-cert",
      "x-mesh-timeout-ms",
      "x-envoy-upstream-rq-timeout-ms",
      "content_length",
    ]) {
      assert.deepEqual(named(seen, name), [], name);
    }
    assert.deepEqual(named(seen, "x-kept"), ["X-Kept: 1"]);
  });

  it("does not let a Connection field take away what the mesh adds", async () => {
    const seen = await applicationSees([
      "Connection: x-forwarded-client-cert, x-spiffe-id, x-request-id, traceparent, host, x-kept",
      "X-Kept: 1",
    ]);
    for (const name of ["x-forwarded-client-cert", "x-request-id", "traceparent", "host"])
      assert.equal(named(seen, name).length, 1, name);
    assert.deepEqual(named(seen, "x-kept"), [], "the caller may take away its own");
  });

  it("forwards one traceparent and one request id, whatever came", async () => {
    const seen = await applicationSees([
      "Traceparent: bad",
      "TRACEPARENT: worse",
      "Tracestate: a=1",
      "X-Request-Id: has spaces in it",
    ]);
    assert.equal(named(seen, "traceparent").length, 1);
    assert.equal(named(seen, "x-request-id").length, 1);
    assert.equal(named(seen, "tracestate").length, 0);
  });
});

describe("rescue() on real bytes", () => {
  const failing = stack<Accepted>()
    .through(rescue({ by: "sidecar orders/orders-1" }))
    .through(trace({}))
    .to(() =>
      Promise.reject(new MeshError("ERR_NO_ENDPOINT", "no endpoint of default/ürders 漢", { retryAfterMs: 500 })),
    );

  it("writes a problem document with its exact length", async () => {
    const reply = await exchangeBytes(
      { handler: failing, direction: "outbound" },
      "GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n",
    );
    assert.match(reply, /^HTTP\/1\.1 503 /);
    assert.match(reply, /\r\nx-mesh-flag: UH\r\n/);
    assert.match(reply, /\r\nserver: fetchmesh\r\n/);
    assert.match(reply, /\r\nretry-after: 1\r\n/);
    const body = reply.slice(reply.indexOf("\r\n\r\n") + 4);
    assert.match(reply, new RegExp(`\r\ncontent-length: ${body.length}\r\n`));
    const text = new TextDecoder().decode(Uint8Array.from(body, (char) => char.charCodeAt(0)));
    assert.equal((JSON.parse(text) as Record<string, string>)["detail"], "no endpoint of default/ürders 漢");
  });

  it("writes no body for HEAD", async () => {
    const reply = await exchangeBytes(
      { handler: failing, direction: "outbound" },
      "HEAD / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n",
    );
    assert.match(reply, /^HTTP\/1\.1 503 /);
    assert.ok(reply.endsWith("\r\n\r\n"));
  });
});

describe("observe() on real bytes", () => {
  it("logs a request once, when its last byte is written", async () => {
    const lines: string[] = [];
    const log = createAccessLog({ mode: "all", clock: systemClock, write: (text) => void lines.push(text) });
    const handler = stack<Accepted>()
      .through(observe({ events: log.events }))
      .through(rescue({ by: "x" }))
      .to(async () => new Response("hello"));
    await exchangeBytes(
      { handler },
      'POST /p?q HTTP/1.1\r\nHost: Orders.:80\r\nContent-Length: 3\r\nConnection: close\r\nUser-Agent: "a\\\r\n\r\nabc',
    );
    log.flush();
    assert.equal(lines.length, 1);
    const line = JSON.parse(lines[0]!) as Record<string, unknown>;
    assert.deepEqual(
      [
        line["status"],
        line["method"],
        line["path"],
        line["authority"],
        line["bytes_received"],
        line["bytes_sent"],
        line["user_agent"],
      ],
      [200, "POST", "/p", "orders", 3, 5, '"a\\'],
    );
  });
});

describe("createAdmin() on real bytes", () => {
  const admin = createAdmin({
    by: "sidecar orders/orders-1",
    clock: systemClock,
    metrics: () => "up 1\n",
    waitingFor: () => [],
    snapshot: () => ({ version: 4, epoch: "e", digest: "d", documents: [] }) as unknown as Snapshot,
    clusters: () => [],
    certificates: () => [],
    drain: () => {},
  });
  const ask = (head: string): Promise<string> =>
    exchangeBytes(
      { handler: (x) => admin(x.request, x.connection.remoteAddress) },
      `${head}\r\nConnection: close\r\n\r\n`,
    );

  it("answers what curl asks", async () => {
    assert.match(await ask("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:15000"), /^HTTP\/1\.1 200 [^]*\r\nup 1\n/);
    assert.match(await ask("GET /config/version HTTP/1.1\r\nHost: localhost:15000"), /"version":4/);
    assert.match(await ask("GET /endpoints?x=1 HTTP/1.1\r\nHost: [::1]:15000"), /\{"services":\[\]\}/);
    assert.match(await ask("POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0"), /^HTTP\/1\.1 202 /);
    assert.match(await ask("GET /nothing HTTP/1.1\r\nHost: localhost"), /^HTTP\/1\.1 404 /);
  });

  it("believes the absolute target and not the Host beside it", async () => {
    assert.match(await ask("GET http://evil.example/config HTTP/1.1\r\nHost: localhost"), /^HTTP\/1\.1 403 /);
    assert.match(await ask("GET /config HTTP/1.1\r\nHost: evil.example"), /^HTTP\/1\.1 403 /);
  });
});
