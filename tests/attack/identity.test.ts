import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { makeCa, makeLeaf, makeServiceLeaf, spiffeIdOf, type LeafOptions } from "../support/certificates.ts";
import { eventually } from "../support/ports.ts";
import { currentRuntime } from "../support/processes.ts";
import { rawClient, valuesOf } from "../support/raw.ts";
import type { TlsIdentity } from "../../src/runtime/contract.ts";
import { doors, startRig, type Rig } from "./_rig.ts";

const HOUR_MS = 3_600_000;
const web = spiffeIdOf("web");

describe("who a peer is", () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig.close());

  /** Tries to be served as somebody; true if a reply came. */
  async function isServed(identity: TlsIdentity | undefined): Promise<boolean> {
    const tls = { trust: rig.ca.trust, ...(identity !== undefined && { identity }) };
    const client = await rawClient(rig.orders.ready.inbound, { tls }).catch(() => null);
    // TLS 1.3: a client is done before the server has looked at its certificate.
    if (client === null) return false;
    client.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
    await eventually(
      "an end or a reply",
      () => client.isClosed || client.error !== undefined || client.text !== "",
      5_000,
      2,
    );
    client.destroy();
    return client.text !== "";
  }

  const refusedFor = (reason: string): Promise<number> =>
    rig.count(rig.orders, "fetchmesh_handshakes_refused_total", { direction: "inbound", reason });

  /** The application hears nothing, and the metric says why. */
  async function refuses(name: string, identity: TlsIdentity | undefined, reason: string): Promise<void> {
    rig.upstream.forget();
    const before = await refusedFor(reason);
    assert.equal(await isServed(identity), false, name);
    await eventually(
      `${name}: counted as ${reason}`,
      async () => (await refusedFor(reason)) === before + 1,
      3_000,
    ).catch(async (error: unknown) => {
      const counts = await Promise.all(reasons.map(async (one) => `${one}=${await refusedFor(one)}`));
      throw new Error(`${name}: ${counts.join(" ")}`, { cause: error });
    });
    assert.equal(rig.upstream.bytes, 0, name);
  }
  const reasons = [
    "no_certificate",
    "expired",
    "not_yet_valid",
    "untrusted",
    "not_spiffe",
    "wrong_trust_domain",
    "not_tls",
    "closed",
    "timeout",
    "too_many_connections",
    "other",
  ];

  const leaf = async (options: LeafOptions): Promise<TlsIdentity> => (await makeLeaf(rig.ca, options)).identity;

  it("is served with a fit certificate of the mesh", async () => {
    assert.equal(await isServed(rig.peer.identity), true);
  });

  it("without a certificate, or with one of another CA, is refused (A-22)", async () => {
    await refuses("nobody", undefined, "no_certificate");
    const foreign = await makeCa({ name: "test root" });
    await refuses("another CA of the same name", (await makeServiceLeaf(foreign, "web")).identity, "untrusted");
    // It sends the believed root along, which proves nothing.
    const { certificateChainPem, privateKeyPem } = (await makeServiceLeaf(foreign, "web")).identity;
    await refuses(
      "another CA behind our root",
      { certificateChainPem: certificateChainPem + rig.ca.certificatePem, privateKeyPem },
      "untrusted",
    );
    const intermediate = await makeCa({ name: "not sent", parent: rig.ca });
    const { identity } = await makeServiceLeaf({ ...intermediate, intermediatesPem: [] }, "web");
    await refuses("a missing intermediate", identity, "untrusted");
  });

  it("before its time or after it is refused (A-22)", async () => {
    // Deno's TLS says of every refused client certificate the same, that its signature could not be verified.
    const time = (reason: string): string => (currentRuntime === "deno" ? "untrusted" : reason);
    await refuses(
      "expired",
      await leaf({ uri: web, notBefore: new Date(Date.now() - 2 * HOUR_MS), notAfter: new Date(Date.now() - HOUR_MS) }),
      time("expired"),
    );
    await refuses(
      "not yet valid",
      await leaf({ uri: web, notBefore: new Date(Date.now() + HOUR_MS) }),
      time("not_yet_valid"),
    );
  });

  it("with two names, none, or a name in the wrong place is refused (A-23, L14)", async () => {
    const unfit: Record<string, LeafOptions> = {
      "two SPIFFE IDs": { uri: [web, spiffeIdOf("admin")] },
      "a SPIFFE ID and another URI": { uri: [web, "https://web.example"] },
      "no name": {},
      "the name in the subject": { commonName: web },
      "the name as DNS name": { dns: ["web.mesh.local"], commonName: web },
      "a URI that is no SPIFFE ID": { uri: "https://mesh.local/ns/default/sa/web" },
      "a root path": { uri: "spiffe://mesh.local" },
      "a dot segment": { uri: "spiffe://mesh.local/ns/default/../default/sa/web" },
      "an escape": { uri: "spiffe://mesh.local/ns/default/sa/%77eb" },
      "a port": { uri: "spiffe://mesh.local:443/ns/default/sa/web" },
      "user information": { uri: "spiffe://mesh.local@evil/ns/default/sa/web" },
      "a query": { uri: `${web}?x` },
      "a name with a NUL": { uri: `${web}\0.evil` },
    };
    for (const [name, options] of Object.entries(unfit)) await refuses(name, await leaf(options), "not_spiffe");
  });

  it("as a CA, or with a key for other things, is refused (A-24)", async () => {
    const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;
    const unfit: Record<string, LeafOptions> = {
      "CA:TRUE": { uri: web, isCa: true },
      keyCertSign: { uri: web, keyUsage: digitalSignature | keyCertSign },
      cRLSign: { uri: web, keyUsage: digitalSignature | cRLSign },
      "no key usage": { uri: web, keyUsage: null },
      "serverAuth only": { uri: web, extendedKeyUsage: ["serverAuth"] },
      codeSigning: { uri: web, extendedKeyUsage: ["codeSigning"] },
    };
    for (const [name, options] of Object.entries(unfit)) {
      rig.upstream.forget();
      assert.equal(await isServed(await leaf(options)), false, name);
      assert.equal(rig.upstream.bytes, 0, name);
    }
    assert.equal(
      await isServed({ certificateChainPem: rig.ca.certificatePem, privateKeyPem: rig.ca.privateKeyPem }),
      false,
      "the root itself",
    );
  });

  it("of another trust domain is refused, whoever signed it (A-25, L16)", async () => {
    for (const domain of ["other.local", "mesh.local.evil", "mesh.locals", "mesh"]) {
      await refuses(domain, await leaf({ uri: `spiffe://${domain}/ns/default/sa/web` }), "wrong_trust_domain");
    }
    assert.equal(await isServed(await leaf({ uri: "spiffe://MESH.LOCAL/ns/default/sa/web" })), false);
  });

  it("is what its certificate says, whatever its headers say (A-21, L1, L2, L6, L29)", async () => {
    const evil = "URI=spiffe://mesh.local/ns/default/sa/admin";
    const claims = [
      `X-Forwarded-Client-Cert: ${evil}`,
      `x-forwarded-client-cert: By=spiffe://mesh.local/ns/default/sa/orders;${evil}`,
      `X_Forwarded_Client_Cert: ${evil}`,
      `X-Forwarded_Client-Cert: ${evil}`,
      "X-Spiffe-Id: spiffe://mesh.local/ns/default/sa/admin",
      "x_spiffe_id: admin",
      "Client-Cert: :MIIB:",
      "Client-Cert-Chain: :MIIB:",
      "X-Mesh-Timeout-Ms: 0",
      "X-Mesh-Client-Id: admin",
      "X-Envoy-Upstream-Rq-Timeout-Ms: 1",
      "X-Envoy-Internal: true",
      "l5d-client-id: admin",
      "Content_Length: 5",
      "Transfer_Encoding: chunked",
    ];
    for (const door of doors) {
      rig.upstream.forget();
      const client = await rig.open(door);
      client.write(
        `GET /api/x HTTP/1.1\r\nHost: orders\r\nConnection: x-forwarded-client-cert, x-spiffe-id\r\n${claims.join("\r\n")}\r\nX-Mine: 1\r\n\r\n`,
      );
      assert.equal((await client.reply()).status, 200);
      const request = rig.upstream.requests[0]!;
      const certs = valuesOf(request, "x-forwarded-client-cert");
      assert.equal(certs.length, 1);
      assert.match(
        certs[0]!,
        /^By=spiffe:\/\/mesh\.local\/ns\/default\/sa\/orders;Hash=[0-9a-f]{64};Subject="";URI=spiffe:\/\/mesh\.local\/ns\/default\/sa\/web$/,
      );
      for (const [name, value] of request.fields) {
        assert.ok(!value.includes("admin") && !value.includes("MIIB"), `${name}: ${value}`);
        assert.ok(!name.includes("_"), name);
      }
      assert.deepEqual(valuesOf(request, "x-mesh-timeout-ms"), []);
      assert.deepEqual(valuesOf(request, "x-mine"), ["1"]);
      client.destroy();
    }
  });

  it("that is dialled must be the service that was meant", async () => {
    // Said to be an endpoint of `payments`, but its certificate says `orders`.
    const [host, port] = rig.orders.ready.inbound.split(":");
    await rig.apply(`
apiVersion: fetchmesh.dev/v1alpha1
kind: Service
metadata: { name: payments }
spec: { ports: [{ port: 80 }], endpoints: [{ address: "${host}:${port}", identity: ${spiffeIdOf("payments")} }] }
`);
    rig.upstream.forget();
    const client = await rig.open("outbound");
    client.write("GET /api/x HTTP/1.1\r\nHost: payments\r\n\r\n");
    const reply = await client.reply();
    assert.deepEqual([reply.status, valuesOf(reply, "x-mesh-flag")], [503, ["UF"]]);
    assert.equal(rig.upstream.bytes, 0, "no byte of the request went to the wrong service");
    client.destroy();
  });
});
