import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { canonicalJson } from "../../src/control/canonical.ts";
import { compileSnapshot } from "../../src/control/compile.ts";
import { decodeEnvelope, encodeEnvelope, sealEnvelope, type Envelope } from "../../src/control/envelope.ts";
import { readDocuments } from "../../src/control/documents.ts";
import {
  generateConfigKey,
  importConfigKey,
  importConfigPublicKey,
  signSnapshot,
  verifySnapshot,
} from "../../src/control/signature.ts";
import { openUnverified } from "../../src/control/signed-body.ts";
import { MeshError } from "../../src/errors.ts";

const isCorrupt = (error: unknown): boolean => error instanceof MeshError && error.code === "ERR_STORE_CORRUPT";
const text = `apiVersion: fetchmesh.dev/v1alpha1
kind: Service
metadata: {name: orders, labels: {team: a}}
spec: {ports: [{name: http, port: 80, appProtocol: http}], endpoints: [{address: "10.0.0.1:80", weight: 2, zone: z, identity: "spiffe://mesh.local/ns/default/sa/orders"}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders}
spec:
  parentRefs: [{kind: Service, group: "", name: orders, port: 80}]
  rules:
    - name: one
      matches: [{path: {type: Exact, value: /a}, method: GET, headers: [{name: x, value: y}], queryParams: [{name: q, value: r}]}]
      filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: c, value: d}], remove: [e]}}]
      backendRefs: [{name: orders, weight: 3, port: 80, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [server]}}]}]
      timeouts: {request: 2s, backendRequest: 500ms}
      retry: {attempts: 2, codes: [503], backoff: 50ms}
---
apiVersion: fetchmesh.dev/v1alpha1
kind: BackendPolicy
metadata: {name: orders}
spec:
  targetRefs: [{kind: Service, name: orders}]
  balance: {algorithm: round-robin}
  limits: {maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 4}
  breaker: {consecutiveFailures: 5, failureRatio: 0.5, minRequests: 10, window: 10s, openFor: 5s, maxOpenFor: 1m, maxEjectionPercent: 50, shared: true, quorum: 0.5}
  retry: {attempts: 1}
  retryBudget: {percent: 20, minRetriesPerSecond: 10, interval: 10s}
  timeouts: {request: 1s, backendRequest: 500ms, connect: 1s}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  action: ALLOW
  rules: [{from: [{source: {principals: ["mesh.local/ns/default/sa/web"], notNamespaces: [evil]}}], to: [{operation: {methods: [GET], paths: ["/api/*"], notPaths: ["/api/admin"]}}]}]
`;

async function whole(): Promise<Envelope> {
  const { resources, problems } = readDocuments([{ file: "-", text }]);
  assert.deepEqual(problems, []);
  return sealEnvelope(
    "default",
    "epoch",
    7,
    resources.map(({ resource }) => resource),
  );
}

describe("envelope", () => {
  it("is read as it was written, whatever the order of its keys", async () => {
    const envelope = await whole();
    const body = encodeEnvelope(envelope);
    assert.deepEqual(await decodeEnvelope({ epoch: "epoch", version: 7, body }, "default"), envelope);
    const shuffled = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(body) as object).reverse()));
    assert.equal(
      (await decodeEnvelope({ epoch: "epoch", version: 7, body: shuffled }, "default")).digest,
      envelope.digest,
    );
    assert.equal(canonicalJson({ b: [1, { d: null, c: "é" }], a: undefined }), '{"b":[1,{"c":"é","d":null}]}');
  });

  it("is refused or read the same after any mutation, and never crashes a compile (F13)", async () => {
    const envelope = await whole();
    const { digest: _, ...open } = JSON.parse(encodeEnvelope(envelope)) as Record<string, unknown>;
    const paths: (string | number)[][] = [];
    const walk = (value: unknown, path: (string | number)[]): void => {
      paths.push(path);
      if (typeof value === "object" && value !== null)
        for (const [key, inner] of Object.entries(value))
          walk(inner, [...path, Array.isArray(value) ? Number(key) : key]);
    };
    walk(open, []);
    const junk = fc.constantFrom<unknown>(
      null,
      "",
      " ",
      0,
      -1,
      1.5,
      1e99,
      true,
      [],
      {},
      [null],
      "x".repeat(300),
      "../..",
      "a/b",
      "\u0000",
      "*",
      "__proto__",
      { __proto__: null, a: 1 },
      [[[]]],
    );
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...paths),
        junk,
        fc.constantFrom("set", "remove", "add"),
        async (path, value, action) => {
          const mutant = structuredClone(open);
          const holder = path
            .slice(0, -1)
            .reduce<unknown>((at, step) => (at as Record<string | number, unknown>)[step], mutant) as Record<
            string | number,
            unknown
          >;
          const last = path.at(-1);
          if (last === undefined) return;
          if (action === "set") holder[last] = value;
          else if (action === "remove" && Array.isArray(holder)) holder.splice(Number(last), 1);
          else if (action === "remove") delete holder[last];
          else holder[typeof last === "number" ? (holder["length"] as number) : `${last}x`] = value;
          try {
            compileSnapshot(
              await decodeEnvelope({ epoch: "epoch", version: 7, body: JSON.stringify(mutant) }, "default"),
            );
            accepted++;
          } catch (error) {
            assert.ok(isCorrupt(error), String(error));
          }
        },
      ),
      { numRuns: 600 },
    );
    assert.ok(accepted > 0, "optional parts may be absent");
  });

  it("names every reason, up to five", async () => {
    const documents = Array.from({ length: 8 }, () => ({ kind: "Service" }));
    await assert.rejects(
      decodeEnvelope({ epoch: "e", version: 1, body: JSON.stringify({ documents }) }, "default"),
      (error: unknown) => {
        assert.ok(isCorrupt(error));
        assert.match((error as MeshError).message, /documents\[0\] apiVersion: .*and 11 more$/);
        return true;
      },
    );
  });
});

describe("compileSnapshot()", () => {
  it("resolves every kind for those who ask", async () => {
    const snapshot = compileSnapshot(await whole());
    assert.deepEqual(snapshot.services.get("default/orders")?.endpoints, [
      {
        address: "10.0.0.1:80",
        host: "10.0.0.1",
        port: 80,
        instance: null,
        zone: "z",
        weight: 2,
        identity: "spiffe://mesh.local/ns/default/sa/orders",
      },
    ]);
    const routes = snapshot.routes("default/orders", "anywhere");
    assert.equal(routes?.covers(80), true);
    assert.equal(routes?.covers(81), false);
    assert.equal(snapshot.routes("default/other", "default"), null);
    assert.equal(snapshot.backend("default/orders").algorithm, "round-robin");
    assert.equal(snapshot.backend("default/orders"), snapshot.backend("default/orders"));
    assert.equal(snapshot.backend("default/other").algorithm, "least-request");
    assert.equal(snapshot.authorization("default", "orders"), snapshot.authorization("default", "orders"));
    assert.ok(Object.isFrozen(snapshot));
  });

  it("lets a consumer's route replace the producer's for its own namespace, on the ports it names (GAMMA)", async () => {
    const route = (namespace: string, name: string, port: string, path: string): string =>
      `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec:\n  parentRefs: [{kind: Service, name: orders, namespace: shop${port}}]\n  rules: [{matches: [{path: {value: ${path}}}], backendRefs: [{name: orders, namespace: shop}]}]\n`;
    const { resources } = readDocuments([
      {
        file: "-",
        text: `${route("shop", "producer", "", "/p")}---\n${route("caller", "consumer", ", port: 80", "/c")}`,
      },
    ]);
    const snapshot = compileSnapshot(
      await sealEnvelope(
        "default",
        "e",
        1,
        resources.map(({ resource }) => resource),
      ),
    );
    const head = (path: string) =>
      ({
        method: "GET",
        target: path,
        path,
        query: "",
        authority: "orders",
        get: () => null,
        getAll: () => [],
        names: () => [],
      }) as never;
    const match = (namespace: string, path: string, port: number) =>
      snapshot.routes("shop/orders", namespace)?.match(head(path), port)?.name ?? null;
    assert.equal(match("shop", "/p", 80), "shop/producer");
    assert.equal(match("shop", "/c", 80), null);
    assert.equal(match("caller", "/c", 80), "caller/consumer");
    assert.equal(match("caller", "/p", 80), null, "replaced, not merged");
    assert.equal(match("caller", "/p", 81), "shop/producer", "another port is still the producer's");
  });
});

describe("verifySnapshot()", () => {
  it("opens what the mesh's key signed and nothing else", async () => {
    const [key, other] = await Promise.all([generateConfigKey(), generateConfigKey()]);
    const body = encodeEnvelope(await whole());
    const signed = await signSnapshot(body, await importConfigKey(key.text));
    const trusted = await importConfigPublicKey(key.publicJwk);
    assert.equal(await verifySnapshot(signed, trusted, { required: true }), body);
    assert.equal(openUnverified(signed), body);
    await assert.rejects(verifySnapshot(signed, other.publicKey), isCorrupt);
    const [head, payload, signature] = signed.split(".") as [string, string, string];
    const forged = [
      `${head}.${btoa("{}").replaceAll("=", "")}.${signature}`,
      `${btoa('{"alg":"none"}').replaceAll("=", "")}.${payload}.AA`,
      `${btoa('{"alg":"HS256","typ":"fetchmesh-config+jws"}').replaceAll("=", "")}.${payload}.${signature}`,
      `${head}.${payload}.${"A".repeat(86)}`,
    ];
    for (const each of forged) await assert.rejects(verifySnapshot(each, trusted), isCorrupt, each.slice(0, 40));
  });

  it("takes unsigned config unless signed is required, and then only with a key", async () => {
    const key = await generateConfigKey();
    assert.equal(await verifySnapshot("{}", key.publicKey), "{}");
    await assert.rejects(verifySnapshot("{}", key.publicKey, { required: true }), isCorrupt);
    const signed = await signSnapshot("{}", key);
    assert.equal(await verifySnapshot(signed, null), "{}");
    await assert.rejects(verifySnapshot(signed, null, { required: true }), isCorrupt);
    await assert.rejects(verifySnapshot("x".repeat(5_000_000), null), isCorrupt);
    for (const text of ["", "{}", '{"kty":"EC"}', '{"kty":"oct","k":"AA"}'])
      await assert.rejects(
        importConfigKey(text),
        (error: unknown) => error instanceof MeshError && error.code === "ERR_OPTION_INVALID",
      );
  });
});
