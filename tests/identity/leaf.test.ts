import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import { verifySpiffeLeaf } from "../../src/identity/leaf.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";
import { verifyPeerChain } from "../../src/identity/svid.ts";
import { verifySvid } from "../../src/identity/verify-svid.ts";
import { dnsName, extension, rawLeaf, uriName, type RawLeaf } from "./raw-leaf.ts";
import { certificateDer, makeAuthority, serverIdentity } from "./support.ts";

const nowMs = Date.UTC(2026, 10, 23);
const orders = "spiffe://mesh.local/ns/default/sa/orders";

function verdict(leaf: RawLeaf, trustDomain = "mesh.local", atMs = nowMs): string {
  const peer = verifySpiffeLeaf(rawLeaf(leaf), { trustDomain, nowMs: atMs });
  return typeof peer === "string" ? peer : `peer ${peer.id.text}`;
}

describe("verifySpiffeLeaf()", () => {
  it("verifySpiffeLeaf() reads identity, hash and end of a fit leaf", () => {
    const der = rawLeaf();
    assert.deepEqual(verifySpiffeLeaf(der, { trustDomain: "mesh.local", nowMs }), {
      id: meshId("mesh.local", "default", "orders"),
      certificateHash: createHash("sha256").update(der).digest("hex"),
      notAfterMs: Date.UTC(2050, 0, 1),
      isLocal: false,
    });
  });

  const accepted: readonly [string, RawLeaf][] = [
    ["without extended key usage", { extendedKeyUsage: null }],
    [
      "with more extended key usages than needed",
      { extendedKeyUsage: ["2b06010505070303", "2b06010505070302", "2b06010505070301"] },
    ],
    [
      "with DNS names and an IP address beside its URI",
      { names: [dnsName("orders"), uriName(orders), Uint8Array.of(0x87, 4, 127, 0, 0, 1)] },
    ],
    ["with a subject and an alternative name that is not critical", { commonName: "orders", isSanCritical: false }],
    ["with basic constraints that say it is no CA", { basicConstraints: "" }],
    ["with basic constraints that say FALSE at length", { basicConstraints: "010100" }],
    ["with keyEncipherment beside digitalSignature", { keyUsage: "05a0" }],
    [
      "with an unknown extension that is not critical",
      { extra: [extension("2b0601040183b33a01", Uint8Array.of(5, 0))] },
    ],
  ];
  for (const [what, leaf] of accepted) {
    it(`verifySpiffeLeaf() accepts a leaf ${what}`, () => assert.equal(verdict(leaf), `peer ${orders}`));
  }

  const refused: readonly [string, RawLeaf, RegExp][] = [
    ["without alternative name", { names: null }, /no URI name/],
    ["with an empty alternative name", { names: [] }, /no URI name/],
    ["with DNS names only", { names: [dnsName("orders")] }, /no URI name/],
    ["with its SPIFFE ID as a DNS name", { names: [dnsName(orders)] }, /no URI name/],
    ["with its SPIFFE ID as a common name", { names: null, commonName: orders }, /no URI name/],
    [
      "with two SPIFFE IDs",
      { names: [uriName(orders), uriName("spiffe://mesh.local/ns/default/sa/admin")] },
      /more than one URI name/,
    ],
    [
      "with a second URI that is no SPIFFE ID",
      { names: [uriName(orders), uriName("https://x.com")] },
      /more than one URI name/,
    ],
    ["with the same URI twice", { names: [uriName(orders), uriName(orders)] }, /more than one URI name/],
    [
      "with a URI of another scheme",
      { names: [uriName("https://mesh.local/ns/default/sa/orders")] },
      /does not start with/,
    ],
    ["with the identity of a trust domain", { names: [uriName("spiffe://mesh.local")] }, /not a workload/],
    ["with a NUL in its URI", { names: [uriName("spiffe://mesh.local/x\0.evil")] }, /no URI has/],
    ["with a line break in its URI", { names: [uriName("spiffe://mesh.local/x\n")] }, /no URI has/],
    ["with a space in its URI", { names: [uriName("spiffe://mesh.local/x y")] }, /no URI has/],
    ["with a byte above ASCII in its URI", { names: [uriName("spiffe://mesh.local/\xe9")] }, /no URI has/],
    [
      "with a URI that claims to be a UTF8String",
      { names: [uriName(orders, 0x0c)] },
      /malformed subject alternative name/,
    ],
    ["with a constructed URI", { names: [uriName(orders, 0xa6)] }, /not a primitive string/],
    [
      "with a list injected into its URI",
      { names: [uriName("spiffe://mesh.local/x, URI:spiffe://mesh.local/admin")] },
      /no URI has/,
    ],
    ["with an identity injected into a DNS name", { names: [dnsName(`x, URI:${orders}`)] }, /no URI name/],
    [
      "with an empty subject and a name that is not critical",
      { isSanCritical: false },
      /not critical though the subject is empty/,
    ],
    ["with an empty issuer", { issuer: Uint8Array.of(0x30, 0) }, /does not name its issuer/],
    ["that is a CA", { basicConstraints: "0101ff" }, /CA certificate is not a workload/],
    ["with a path length", { basicConstraints: "020100" }, /path length without CA/],
    ["with a CA flag that is neither true nor false", { basicConstraints: "010101" }, /malformed boolean/],
    ["without key usage", { keyUsage: null }, /key usage is missing/],
    ["with a key usage that is not critical", { isKeyUsageCritical: false }, /not critical/],
    ["that may only encipher keys", { keyUsage: "0520" }, /lacks digitalSignature/],
    ["that may sign certificates", { keyUsage: "0284" }, /includes keyCertSign/],
    ["that may sign revocation lists", { keyUsage: "0182" }, /includes cRLSign/],
    ["with an empty key usage", { keyUsage: "00" }, /malformed key usage/],
    ["with a key usage that is not minimal", { keyUsage: "0080" }, /malformed key usage/],
    ["with a key usage of three bytes", { keyUsage: "0780808080" }, /malformed key usage/],
    ["for servers only", { extendedKeyUsage: ["2b06010505070301"] }, /lacks clientAuth/],
    ["for clients only", { extendedKeyUsage: ["2b06010505070302"] }, /lacks serverAuth/],
    ["for signing code", { extendedKeyUsage: ["2b06010505070303"] }, /lacks serverAuth/],
    ["for any extended usage, unspecified", { extendedKeyUsage: ["551d2500"] }, /lacks serverAuth/],
    ["with an empty extended key usage", { extendedKeyUsage: [] }, /empty extended key usage/],
    [
      "with an unknown critical extension",
      { extra: [extension("2b0601040183b33a01", Uint8Array.of(5, 0), true)] },
      /is not understood/,
    ],
    [
      "with name constraints",
      { extra: [extension("551d1e", Uint8Array.of(0x30, 0))] },
      /name constraints are not supported/,
    ],
    [
      "with an extension twice",
      { extra: [extension("551d0f", Uint8Array.of(3, 2, 7, 0x80), true)] },
      /an extension is repeated/,
    ],
    [
      "with too many extensions",
      {
        extra: Array.from({ length: 33 }, (_, i) =>
          extension(`2b06${(i + 1).toString(16).padStart(2, "0")}`, new Uint8Array(0)),
        ),
      },
      /too many extensions/,
    ],
    ["of version 1", { version: 0 }, /not version 3/],
    ["of version 4", { version: 3 }, /not version 3/],
    [
      "whose two signature algorithms differ",
      { outerAlgorithm: "300a06082a8648ce3d040303" },
      /signature algorithms differ/,
    ],
    [
      "with a serial number of more than 20 octets",
      { serial: new Uint8Array(22).fill(0x7f) },
      /serial number is too long/,
    ],
    ["whose time is local", { notAfter: "20500101000000+" }, /malformed time/],
    ["whose time has no seconds", { notAfter: "5001010000Z" }, /malformed time/],
    ["whose date does not exist", { notAfter: "20490231000000Z" }, /malformed time/],
    ["whose hour does not exist", { notAfter: "20490201240000Z" }, /malformed time/],
  ];
  for (const [what, leaf, reason] of refused) {
    it(`verifySpiffeLeaf() refuses a leaf ${what}`, () => assert.match(verdict(leaf), reason));
  }

  it("verifySpiffeLeaf() refuses every trust domain but its own", () => {
    for (const id of [
      "spiffe://mesh.local.evil/x",
      "spiffe://mesh/x",
      "spiffe://evil/mesh.local",
      "spiffe://xmesh.local/x",
    ]) {
      assert.match(verdict({ names: [uriName(id)] }), /belongs to trust domain/, id);
    }
    for (const id of [
      "spiffe://MESH.local/x",
      "spiffe://mesh.local:443/x",
      "spiffe://mesh.local@evil/x",
      "spiffe://mesh.local./../x",
    ]) {
      assert.doesNotMatch(verdict({ names: [uriName(id)] }), /^peer/, id);
    }
  });

  it("verifySpiffeLeaf() refuses before and after the validity period, whose ends belong to it", () => {
    const leaf: RawLeaf = { notBefore: "260101000000Z", notAfter: "270101000000Z" };
    const at = (atMs: number): string => verdict(leaf, "mesh.local", atMs);
    assert.match(at(Date.UTC(2026, 0, 1) - 1), /not valid before 2026-01-01/);
    assert.match(at(Date.UTC(2026, 0, 1)), /^peer/);
    assert.match(at(Date.UTC(2027, 0, 1)), /^peer/);
    assert.match(at(Date.UTC(2027, 0, 1) + 1000), /expired at 2027-01-01/);
  });

  it("verifySpiffeLeaf() reads years on both sides of 2000 and 2050", () => {
    assert.match(verdict({ notBefore: "490101000000Z" }), /not valid before 2049/);
    assert.match(verdict({ notBefore: "500101000000Z", notAfter: "991231235959Z" }), /expired at 1999/);
    assert.match(verdict({ notBefore: "19500101000000Z", notAfter: "20500101000000Z" }), /^peer/);
  });

  it("verifySpiffeLeaf() answers any mutilation with a reason or with an identity that is written there", () => {
    const good = rawLeaf();
    fc.assert(
      fc.property(
        fc.nat({ max: good.length - 1 }),
        fc.nat({ max: 255 }),
        fc.nat({ max: good.length }),
        (at, value, length) => {
          const der = good.slice(0, length < good.length / 2 ? good.length : length);
          if (at < der.length) der[at] = value;
          const peer = verifySpiffeLeaf(der, { trustDomain: "mesh.local", nowMs });
          if (typeof peer !== "string") assert.ok(new TextDecoder("latin1").decode(der).includes(peer.id.text));
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe("verifyPeerChain() and verifySvid()", () => {
  let chain: Uint8Array[];
  let roots: Uint8Array[];
  before(async () => {
    const authority = await makeAuthority();
    chain = certificateDer(
      (await serverIdentity(authority, meshId("mesh.local", "default", "orders"))).certificateChainPem,
    );
    roots = authority.rootsPem.flatMap(certificateDer);
  });

  it("verifyPeerChain() refuses a peer that is not who was dialled", () => {
    const expectation = { trustDomain: "mesh.local", nowMs: Date.now() };
    assert.equal(typeof verifyPeerChain(chain, { ...expectation, expected: orders }), "object");
    assert.equal(
      verifyPeerChain(chain, { ...expectation, expected: "spiffe://mesh.local/ns/default/sa/billing" }),
      `peer is ${orders}, expected spiffe://mesh.local/ns/default/sa/billing`,
    );
    assert.equal(verifyPeerChain(chain, { ...expectation, expected: () => "not today" }), "not today");
    assert.equal(verifyPeerChain([], expectation), "peer sent no certificate");
    assert.match(
      verifyPeerChain(chain, { ...expectation, trustDomain: "other" }) as string,
      /belongs to trust domain mesh.local/,
    );
  });

  it("verifySvid() accepts what the CA issued, and nothing of it that was changed", async () => {
    const verify = (leaf: Uint8Array) => verifySvid({ chain: [leaf, ...chain.slice(1)], roots, nowMs: Date.now() });
    const good = await verify(chain[0]!);
    assert.equal(typeof good === "string" ? good : good.text, orders);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: chain[0]!.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = chain[0]!.slice();
        changed[at] = changed[at]! ^ flip;
        assert.equal(typeof (await verify(changed)), "string", `byte ${at} xor ${flip}`);
      }),
      { numRuns: 500 },
    );
  });

  it("verifySvid() refuses without the intermediate, with foreign roots, and in another time", async () => {
    const foreign = (await makeAuthority()).rootsPem.flatMap(certificateDer);
    assert.equal(await verifySvid({ chain: chain.slice(0, 1), roots, nowMs: Date.now() }), "issuer is not known");
    assert.equal(await verifySvid({ chain, roots: foreign, nowMs: Date.now() }), "signature does not verify");
    assert.equal(await verifySvid({ chain, roots: [], nowMs: Date.now() }), "issuer is not known");
    assert.match((await verifySvid({ chain, roots, nowMs: Date.now() + 7_200_000 })) as string, /expired/);
    assert.equal(await verifySvid({ chain: [], roots, nowMs: Date.now() }), "there is no certificate");
    assert.equal(typeof (await verifySvid({ chain: chain.slice(1), roots, nowMs: Date.now() })), "string");
  });
});
