import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { SignJWT, exportJWK, exportSPKI } from "jose";
import { MeshError } from "../../src/errors.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";
import {
  createJoinToken,
  createReaderToken,
  generateTokenKey,
  importTokenKey,
  readJoinToken,
  verifyJoinToken,
  verifyReaderToken,
  type TokenKey,
} from "../../src/identity/token.ts";

const nowMs = Date.UTC(2026, 10, 23, 12);
const orders = meshId("mesh.local", "default", "orders");
const root = `sha256:${"ab".repeat(32)}`;
const expectation = { mesh: "default", trustDomain: "mesh.local", nowMs };

const refusal = (text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MeshError, String(error));
  assert.equal(error.code, "ERR_TOKEN_REFUSED");
  assert.match(error.message, text);
  assert.match(error.advice ?? "", /fetchmesh token create/);
  return true;
};

describe("join tokens", () => {
  let key: TokenKey;
  let token: string;
  before(async () => {
    key = await generateTokenKey();
    token = await createJoinToken(key, {
      mesh: "default",
      spiffeId: orders,
      rootFingerprint: root,
      control: "https://127.0.0.1:15010",
      ttlMs: 600_000,
      nowMs,
    });
  });

  /** A token that differs from a good one only where a test says so. */
  async function forge(
    change: { header?: object; claims?: object; drop?: string; signer?: TokenKey["privateKey"] | Uint8Array } = {},
  ): Promise<string> {
    const iat = nowMs / 1000;
    const claims: Record<string, unknown> = {
      iss: "default",
      aud: "fetchmesh-join",
      sub: orders.text,
      jti: "0".repeat(32),
      iat,
      exp: iat + 600,
      root,
      ...change.claims,
    };
    if (change.drop !== undefined) delete claims[change.drop];
    return await new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", typ: "fetchmesh-join+jwt", ...change.header })
      .sign(change.signer ?? key.privateKey);
  }

  it("verifyJoinToken() accepts what createJoinToken() made", async () => {
    const claims = await verifyJoinToken(key, token, expectation);
    assert.deepEqual(claims.spiffeId, orders);
    assert.equal(claims.expiresAtMs, nowMs + 600_000);
    assert.match(claims.tokenId, /^[0-9a-f]{32}$/);
  });

  it("verifyJoinToken() accepts the forge's unchanged token", async () => {
    assert.deepEqual((await verifyJoinToken(key, await forge(), expectation)).spiffeId, orders);
  });

  it("createJoinToken() never makes the same token twice", async () => {
    const again = await createJoinToken(key, {
      mesh: "default",
      spiffeId: orders,
      rootFingerprint: root,
      control: null,
      ttlMs: 600_000,
      nowMs,
    });
    assert.notEqual(
      (await verifyJoinToken(key, again, expectation)).tokenId,
      (await verifyJoinToken(key, token, expectation)).tokenId,
    );
  });

  it("readJoinToken() tells where to go and whom to expect there", () => {
    assert.deepEqual(readJoinToken(token), {
      spiffeId: orders,
      mesh: "default",
      rootFingerprint: root,
      control: "https://127.0.0.1:15010",
    });
  });

  it("verifyJoinToken() refuses an expired token from its last second on", async () => {
    await verifyJoinToken(key, token, { ...expectation, nowMs: nowMs + 599_999 });
    await assert.rejects(
      verifyJoinToken(key, token, { ...expectation, nowMs: nowMs + 600_000 }),
      refusal(/has expired/),
    );
  });

  it("verifyJoinToken() gives a token of one second at least one second", async () => {
    const short = await createJoinToken(key, {
      mesh: "default",
      spiffeId: orders,
      rootFingerprint: root,
      control: null,
      ttlMs: 1000,
      nowMs: nowMs + 999,
    });
    await verifyJoinToken(key, short, { ...expectation, nowMs: nowMs + 1998 });
    await assert.rejects(verifyJoinToken(key, short, { ...expectation, nowMs: nowMs + 3000 }), refusal(/has expired/));
  });

  const refused: readonly [string, () => Promise<string>, RegExp][] = [
    ["for another audience", () => forge({ claims: { aud: "fetchmesh-read" } }), /claim "aud"/],
    ["of another mesh", () => forge({ claims: { iss: "other" } }), /claim "iss"/],
    ["without expiry", () => forge({ drop: "exp" }), /claim "exp"/],
    ["without id", () => forge({ drop: "jti" }), /claim "jti"/],
    ["with a guessable id", () => forge({ claims: { jti: "1" } }), /a claim is missing/],
    ["without subject", () => forge({ drop: "sub" }), /claim "sub"/],
    ["without time of issue", () => forge({ drop: "iat" }), /claim "iat"/],
    ["for a subject that is no SPIFFE ID", () => forge({ claims: { sub: "orders" } }), /names no workload/],
    ["for a trust domain", () => forge({ claims: { sub: "spiffe://mesh.local" } }), /names no workload/],
    [
      "for another trust domain",
      () => forge({ claims: { sub: "spiffe://other/ns/default/sa/orders" } }),
      /names no workload/,
    ],
    ["that lives too long", () => forge({ claims: { exp: nowMs / 1000 + 86_402 } }), /lifetime/],
    ["from the future", () => forge({ claims: { iat: nowMs / 1000 + 120, exp: nowMs / 1000 + 300 } }), /lifetime/],
    ["not valid yet", () => forge({ claims: { nbf: nowMs / 1000 + 100 } }), /claim "nbf"/],
    ["of another type", () => forge({ header: { typ: "JWT" } }), /claim "typ"/],
    [
      "that names a key to verify it with",
      async () => forge({ header: { jwk: await exportJWK(key.publicKey) } }),
      /more than alg, typ and kid/,
    ],
    [
      "that names where to find its key",
      () => forge({ header: { jku: "https://evil/jwks" } }),
      /more than alg, typ and kid/,
    ],
    ["with a critical extension", () => forge({ header: { crit: ["b64"], b64: true } }), /more than alg|malformed/],
    ["signed by another key", async () => forge({ signer: (await generateTokenKey()).privateKey }), /did not sign it/],
    [
      "signed by HMAC with the public key",
      async () =>
        forge({ header: { alg: "HS256" }, signer: new TextEncoder().encode(await exportSPKI(key.publicKey)) }),
      /not signed with ES256/,
    ],
    ["that is nothing", async () => "", /malformed/],
    ["that is no token", async () => "a.b", /malformed/],
    ["of absurd length", async () => `${"a".repeat(5000)}.b.c`, /malformed/],
  ];
  for (const [what, make, reason] of refused) {
    it(`verifyJoinToken() refuses a token ${what}`, async () =>
      assert.rejects(verifyJoinToken(key, await make(), expectation), refusal(reason)));
  }

  for (const alg of ["none", "None", "nOnE", "", "RS256"]) {
    it(`verifyJoinToken() refuses the algorithm ${JSON.stringify(alg)}`, async () => {
      const encode = (value: object): string =>
        btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
      const body = token.split(".")[1]!;
      for (const signature of ["", "AAAA", token.split(".")[2]!]) {
        await assert.rejects(
          verifyJoinToken(key, `${encode({ alg, typ: "fetchmesh-join+jwt" })}.${body}.${signature}`, expectation),
          refusal(/./),
        );
      }
    });
  }

  it("verifyJoinToken() refuses every spelling but the compact one", async () => {
    const [header, body, signature] = token.split(".");
    for (const text of [
      ` ${token}`,
      `${token}\n`,
      `${token}=`,
      `${header}.${body} .${signature}`,
      `${header}.${body}.${signature}.`,
      `${header}.${body}.${signature}!`,
      `Bearer ${token}`,
    ]) {
      await assert.rejects(verifyJoinToken(key, text, expectation), refusal(/malformed/), JSON.stringify(text));
    }
  });

  it("readJoinToken() refuses what is no join token, whoever signed it", async () => {
    const reader = await createReaderToken(key, { mesh: "default", subject: "edge", ttlMs: 60_000, nowMs });
    for (const text of [
      "",
      "x",
      "a.b.c",
      reader,
      await forge({ drop: "root" }),
      await forge({ claims: { root: "sha256:12" } }),
      await forge({ claims: { control: 1 } }),
      `a.${btoa("[")}.c`,
    ]) {
      assert.throws(() => readJoinToken(text), refusal(/./), text);
    }
  });

  it("createJoinToken() refuses lifetimes nobody should ask for", async () => {
    for (const ttlMs of [0, 999, -1, NaN, Infinity, 86_400_001]) {
      await assert.rejects(
        createJoinToken(key, { mesh: "m", spiffeId: orders, rootFingerprint: root, control: null, ttlMs, nowMs }),
        /cannot live/,
      );
    }
  });
});

describe("reader tokens", () => {
  it("verifyReaderToken() accepts what createReaderToken() made, until it expires, in its own mesh", async () => {
    const key = await generateTokenKey();
    const token = await createReaderToken(key, { mesh: "default", subject: "edge-fra", ttlMs: 60_000, nowMs });
    assert.deepEqual(await verifyReaderToken(key, token, { mesh: "default", nowMs }), { subject: "edge-fra" });
    await assert.rejects(verifyReaderToken(key, token, { mesh: "other", nowMs }), refusal(/claim "iss"/));
    await assert.rejects(
      verifyReaderToken(key, token, { mesh: "default", nowMs: nowMs + 60_000 }),
      refusal(/has expired/),
    );
  });

  it("a token of one kind is not taken for the other", async () => {
    const key = await generateTokenKey();
    const reader = await createReaderToken(key, { mesh: "default", subject: orders.text, ttlMs: 60_000, nowMs });
    const join = await createJoinToken(key, {
      mesh: "default",
      spiffeId: orders,
      rootFingerprint: root,
      control: null,
      ttlMs: 60_000,
      nowMs,
    });
    await assert.rejects(verifyJoinToken(key, reader, expectation), refusal(/claim/));
    await assert.rejects(verifyReaderToken(key, join, { mesh: "default", nowMs }), refusal(/claim/));
  });
});

describe("token keys", () => {
  it("importTokenKey() takes up a stored key", async () => {
    const key = await generateTokenKey();
    const token = await createReaderToken(key, { mesh: "m", subject: "s", ttlMs: 60_000, nowMs });
    await verifyReaderToken(await importTokenKey(key.text), token, { mesh: "m", nowMs });
  });

  it("importTokenKey() refuses what is no private P-256 key", async () => {
    const open = JSON.stringify(await exportJWK((await generateTokenKey()).publicKey));
    for (const text of ["", "{}", "null", open, '{"kty":"oct","k":"AAAA"}', '{"kty":"EC","crv":"P-384","d":"AA"}']) {
      await assert.rejects(
        importTokenKey(text),
        (error) => error instanceof MeshError && error.code === "ERR_OPTION_INVALID",
        text,
      );
    }
  });
});
