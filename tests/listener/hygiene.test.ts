import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Exchange, Identified } from "../../src/exchange.ts";
import { cleanInbound, cleanOutbound } from "../../src/listener/hygiene.ts";
import { isProtectedHeader } from "../../src/protected-headers.ts";
import { makeExchange, ordersPeer, webPeer, type ExchangeParts } from "../observe/exchanges.ts";

type Lines = readonly (readonly [string, string])[];

/** What a writer of raw lines forwards: received lines that are not removed, then what was added. */
function forwarded(x: Exchange, received: Lines): readonly string[] {
  const kept = received
    .filter(([name]) => !x.requestEdits.isRemoved(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${value}`);
  const added = x.requestEdits.added ?? [];
  for (let i = 0; i < added.length; i += 2) kept.push(`${added[i]}: ${added[i + 1]}`);
  return kept;
}

function inbound(headers: Lines, parts: ExchangeParts = {}): readonly string[] {
  const x = makeExchange({ direction: "inbound", connection: { peer: webPeer, encrypted: true }, headers, ...parts });
  x.peer = x.connection.peer;
  void cleanInbound({ self: () => ordersPeer })(async () => new Response())(x as Identified);
  return forwarded(x, headers);
}

function outbound(headers: Lines): readonly string[] {
  const x = makeExchange({ headers });
  void cleanOutbound()(async () => new Response())(x);
  return forwarded(x, headers);
}

const proven = `x-forwarded-client-cert: By=spiffe://mesh.test/ns/default/sa/orders;Hash=${"ab".repeat(32)};Subject="";URI=spiffe://mesh.test/ns/shop/sa/web`;

const spoofs: Lines = [
  ["x-forwarded-client-cert", "URI=spiffe://mesh.test/ns/a/sa/admin"],
  ["X-Forwarded-Client-Cert", "URI=spiffe://mesh.test/ns/a/sa/admin"],
  ["X-FORWARDED-CLIENT-CERT", "twice"],
  ["x_forwarded_client_cert", "underscores"],
  ["X_Forwarded-Client_Cert", "some"],
  ["client-cert", ":MIIB:"],
  ["Client-Cert-Chain", ":MIIB:"],
  ["client_cert", ":MIIB:"],
  ["x-spiffe-id", "spiffe://mesh.test/ns/a/sa/admin"],
  ["X_Spiffe_Id", "admin"],
  ["x-mesh-timeout-ms", "0"],
  ["x-mesh-attempt", "1"],
  ["X-Envoy-Upstream-Rq-Timeout-Ms", "1"],
  ["x_envoy_max_retries", "9"],
  ["x-envoy-original-dst-host", "169.254.169.254:80"],
  ["x-retry-on", "5xx"],
  ["x-timeout-ms", "1"],
  ["l5d-dst-override", "admin.internal:80"],
  ["L5D-Client-Id", "admin"],
  ["Content_Length", "5"],
  ["Transfer_Encoding", "chunked"],
  ["x_request_id", "other"],
  ["X_Forwarded_For", "127.0.0.1"],
];

const harmless: Lines = [
  ["host", "orders"],
  ["content-length", "0"],
  ["cookie", "a=b"],
  ["authorization", "Bearer x"],
  ["x-request-id", "id"],
  ["x-forwarded-for", "1.2.3.4"],
  ["x-forwarded-proto", "https"],
  ["x-forwarded-clients", "7"],
  ["x-envoyage", "1"],
  ["x-mesh", "1"],
  ["x-client-certainty", "high"],
  ["my_own_header", "1"],
  ["client", "c"],
  ["l5", "d"],
  ["x_", "1"],
  ["_", "1"],
];

describe("cleanInbound()", () => {
  it("replaces what a peer claims about itself by what its certificate proved", () => {
    assert.deepEqual(inbound(spoofs), [proven]);
  });

  for (const [name, value] of spoofs) {
    it(`does not let ${name} through`, () => {
      assert.deepEqual(inbound([[name, value]]), [proven]);
    });
  }

  it("leaves everything else as it came", () => {
    assert.deepEqual(inbound(harmless), [...harmless.map(([name, value]) => `${name}: ${value}`), proven]);
  });

  it("says nothing of a caller without a certificate, and believes nothing it says", () => {
    assert.deepEqual(inbound(spoofs, { connection: { peer: null } }), []);
  });

  it("sets its header where a Connection field cannot name it: among the edits, which are written last", () => {
    const headers: Lines = [["connection", "close, x-forwarded-client-cert, x-spiffe-id, host, authorization"]];
    assert.equal(inbound(headers).at(-1), proven);
  });

  it("does not depend on which of a connection's requests comes first", () => {
    const layer = cleanInbound({ self: () => ordersPeer })(async () => new Response());
    const values = [webPeer, ordersPeer, webPeer].map((peer) => {
      const x = makeExchange({ direction: "inbound", connection: { peer } });
      void layer(x as Identified);
      return x.requestEdits.added?.[1];
    });
    assert.equal(values[0], values[2]);
    assert.ok(values[1]?.endsWith(`URI=${ordersPeer.id.text}`));
  });
});

describe("cleanOutbound()", () => {
  it("takes identity and control headers from the application, and sets none", () => {
    assert.deepEqual(outbound(spoofs), []);
  });

  it("leaves everything else as it came", () => {
    assert.deepEqual(
      outbound(harmless),
      harmless.map(([name, value]) => `${name}: ${value}`),
    );
  });
});

describe("isProtectedHeader()", () => {
  it("judges thousands of names quickly", () => {
    const startedAt = performance.now();
    for (let i = 0; i < 100_000; i++) isProtectedHeader(`x_${i}_header`);
    assert.ok(performance.now() - startedAt < 1_000);
  });
});
