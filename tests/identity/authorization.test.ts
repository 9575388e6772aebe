import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AuthorizationPolicy, AuthorizationRule } from "../../src/control/resource-authorization.ts";
import type { RequestHead } from "../../src/exchange.ts";
import { allowAuthenticated, compileAuthorization, rootNamespace } from "../../src/identity/authorization.ts";
import { nobody } from "../../src/identity/identify.ts";
import type { Peer } from "../../src/identity/peer.ts";
import { requireSpiffeId } from "../../src/identity/spiffe-id.ts";

type Spec = AuthorizationPolicy["spec"];

function policy(spec: Spec, name = "p", namespace = "default"): AuthorizationPolicy {
  return { apiVersion: "security.istio.io/v1", kind: "AuthorizationPolicy", metadata: { name, namespace }, spec };
}

function peer(id: string): Peer {
  return { id: requireSpiffeId(id), certificateHash: "", notAfterMs: Infinity, isLocal: false };
}

function head(method: string, path: string): RequestHead {
  return {
    method,
    target: path,
    path,
    query: "",
    authority: "orders",
    get: () => null,
    getAll: () => [],
  } as Partial<RequestHead> as RequestHead;
}

const web = "spiffe://mesh.local/ns/default/sa/web";

function decide(
  policies: readonly AuthorizationPolicy[],
  request: { id?: string; method?: string; path?: string } = {},
) {
  const { id = web, method = "GET", path = "/" } = request;
  return compileAuthorization(policies, "default", "orders").decide(peer(id), head(method, path), "mesh.local");
}

const allows = (rules: readonly AuthorizationRule[], request: Parameters<typeof decide>[1]): boolean =>
  decide([policy({ action: "ALLOW", rules: [...rules] })], request).allowed;
const denies = (rules: readonly AuthorizationRule[], request: Parameters<typeof decide>[1]): boolean =>
  !decide([policy({ action: "DENY", rules: [...rules] })], request).allowed;
const from = (...principals: string[]): AuthorizationRule => ({ from: [{ source: { principals } }] });
const to = (operation: NonNullable<AuthorizationRule["to"]>[number]["operation"]): AuthorizationRule => ({
  to: [{ operation }],
});

describe("compileAuthorization()", () => {
  it("no policy: every authenticated peer may", () => {
    assert.equal(compileAuthorization([], "default", "orders"), allowAuthenticated);
    assert.deepEqual(decide([]), { allowed: true, policy: null });
  });

  it("an ALLOW policy denies what it does not allow, and names itself when it does", () => {
    const policies = [policy({ rules: [from("mesh.local/ns/default/sa/web")] }, "only-web")];
    assert.deepEqual(decide(policies), { allowed: true, policy: "default/only-web" });
    assert.deepEqual(decide(policies, { id: "spiffe://mesh.local/ns/default/sa/billing" }), {
      allowed: false,
      policy: null,
    });
  });

  it("ALLOW without rules denies everything; DENY without rules denies nothing; a rule without conditions matches everything", () => {
    for (const rules of [undefined, []]) {
      assert.equal(decide([policy({ action: "ALLOW", ...(rules && { rules }) })]).allowed, false);
      assert.equal(decide([policy({ action: "DENY", ...(rules && { rules }) })]).allowed, true);
    }
    assert.equal(decide([policy({})]).allowed, false);
    assert.equal(decide([policy({ action: "ALLOW", rules: [{}] })]).allowed, true);
    assert.deepEqual(decide([policy({ action: "DENY", rules: [{}] }, "stop")]), {
      allowed: false,
      policy: "default/stop",
    });
  });

  it("DENY comes before ALLOW, wherever it stands", () => {
    const allow = policy({ action: "ALLOW", rules: [{}] }, "allow");
    const deny = policy({ action: "DENY", rules: [to({ paths: ["/admin"] })] }, "deny");
    for (const policies of [
      [allow, deny],
      [deny, allow],
    ]) {
      assert.deepEqual(decide(policies, { path: "/admin" }), { allowed: false, policy: "default/deny" });
      assert.deepEqual(decide(policies, { path: "/" }), { allowed: true, policy: "default/allow" });
    }
  });

  it("several ALLOW policies: one is enough", () => {
    const policies = [
      policy({ rules: [from("mesh.local/ns/default/sa/a")] }, "a"),
      policy({ rules: [from("mesh.local/ns/default/sa/web")] }, "b"),
    ];
    assert.equal(decide(policies).policy, "default/b");
  });

  it("from and to must both match; within each, one entry is enough; within an entry, every field", () => {
    const rule: AuthorizationRule = {
      from: [{ source: { principals: ["mesh.local/ns/default/sa/web"] } }, { source: { namespaces: ["ops"] } }],
      to: [
        { operation: { methods: ["GET"], paths: ["/read"] } },
        { operation: { methods: ["POST"], paths: ["/write"] } },
      ],
    };
    assert.equal(allows([rule], { method: "GET", path: "/read" }), true);
    assert.equal(allows([rule], { method: "POST", path: "/read" }), false);
    assert.equal(allows([rule], { method: "POST", path: "/write", id: "spiffe://mesh.local/ns/ops/sa/x" }), true);
    assert.equal(allows([rule], { method: "POST", path: "/write", id: "spiffe://mesh.local/ns/other/sa/web" }), false);
  });

  it("applies to the services it selects, in its own namespace", () => {
    const deny = (spec: Spec, namespace = "default") =>
      !decide([policy({ action: "DENY", rules: [{}], ...spec }, "p", namespace)]).allowed;
    assert.equal(deny({}), true);
    assert.equal(deny({ selector: { matchLabels: { app: "orders" } } }), true);
    assert.equal(deny({ selector: { matchLabels: { app: "billing" } } }), false);
    assert.equal(deny({ targetRefs: [{ kind: "Service", name: "orders" }] }), true);
    assert.equal(deny({ targetRefs: [{ kind: "Service", name: "billing" }] }), false);
    assert.equal(deny({}, "other"), false);
    assert.equal(deny({}, rootNamespace), true);
    assert.equal(deny({ selector: { matchLabels: { app: "orders" } } }, rootNamespace), true);
    assert.equal(deny({ targetRefs: [{ kind: "Service", name: "orders" }] }, rootNamespace), false);
  });
});

describe("principals", () => {
  const ids: readonly [string, string, boolean][] = [
    ["mesh.local/ns/default/sa/web", web, true],
    ["spiffe://mesh.local/ns/default/sa/web", web, true],
    ["mesh.local/ns/default/sa/web", "spiffe://mesh.local/ns/default/sa/web2", false],
    ["mesh.local/ns/default/sa/a.b", "spiffe://mesh.local/ns/default/sa/aXb", false],
    ["mesh.local/ns/default/sa/Web", web, false],
    ["mesh.local/ns/default/*", web, true],
    ["mesh.local/ns/default/*", "spiffe://mesh.local/ns/default-evil/sa/web", false],
    ["mesh.local/*", web, true],
    ["*/sa/web", web, true],
    ["*/ns/default/sa/web", web, true],
    ["*/ns/default/sa/web", "spiffe://evil/ns/default/sa/web", false],
    ["*", web, true],
    ["*", "spiffe://evil/ns/default/sa/web", false],
    ["*", "spiffe://mesh.local.evil/x", false],
    ["mesh*", web, true],
    ["mesh*", "spiffe://mesh.evil/x", false],
    ["mesh.local*", "spiffe://mesh.local.evil/x", false],
    ["evil/ns/default/sa/web", "spiffe://evil/ns/default/sa/web", true],
    ["evil/*", "spiffe://evil/ns/default/sa/web", true],
    ["evil/*", web, false],
    ["web", web, false],
    ["/ns/default/sa/web", web, false],
  ];
  for (const [pattern, id, expected] of ids) {
    it(`principal ${pattern} ${expected ? "is" : "is not"} ${id}`, () => {
      assert.equal(allows([from(pattern)], { id }), expected);
      assert.equal(denies([from(pattern)], { id }), expected);
    });
  }

  it("notPrincipals excludes", () => {
    const rule: AuthorizationRule = { from: [{ source: { notPrincipals: ["mesh.local/ns/default/sa/web"] } }] };
    assert.equal(allows([rule], {}), false);
    assert.equal(allows([rule], { id: "spiffe://mesh.local/ns/default/sa/billing" }), true);
    assert.equal(denies([rule], { id: "spiffe://mesh.local/ns/default/sa/billing" }), true);
  });

  it("a namespace is one of our own trust domain; who has none is in none that allows, and escapes none that denies", () => {
    const namespaces: AuthorizationRule = { from: [{ source: { namespaces: ["def*"] } }] };
    assert.equal(allows([namespaces], {}), true);
    assert.equal(allows([namespaces], { id: "spiffe://evil/ns/default/sa/web" }), false);
    assert.equal(allows([namespaces], { id: "spiffe://mesh.local/workload" }), false);
    const others: AuthorizationRule = { from: [{ source: { notNamespaces: ["default"] } }] };
    assert.equal(allows([others], { id: "spiffe://mesh.local/ns/ops/sa/x" }), true);
    assert.equal(allows([others], {}), false);
    for (const id of ["spiffe://evil/ns/ops/sa/x", "spiffe://mesh.local/workload"]) {
      assert.equal(allows([others], { id }), false, id);
      assert.equal(denies([others], { id }), true, id);
    }
  });
});

describe("nobody, where plaintext is allowed", () => {
  const asNobody = (action: "ALLOW" | "DENY", rule: AuthorizationRule) =>
    compileAuthorization([policy({ action, rules: [rule] })], "default", "orders").decide(
      nobody,
      head("GET", "/"),
      "mesh.local",
    ).allowed;
  const named: readonly AuthorizationRule[] = [
    from("*"),
    from("mesh.local/*"),
    from("/ns/default/sa/web"),
    { from: [{ source: { namespaces: ["*"] } }] },
    { from: [{ source: { notPrincipals: ["mesh.local/ns/default/sa/web"] } }] },
    { from: [{ source: { notNamespaces: ["ops"] } }] },
  ];

  it("nobody is allowed by rules about everyone only", () => {
    assert.equal(asNobody("ALLOW", {}), true);
    assert.equal(asNobody("ALLOW", to({ methods: ["GET"] })), true);
    for (const rule of named) assert.equal(asNobody("ALLOW", rule), false, JSON.stringify(rule));
  });

  it("nobody is denied by a DENY for whoever is not known", () => {
    assert.equal(asNobody("DENY", { from: [{ source: { notPrincipals: ["*"] } }] }), false);
    assert.equal(asNobody("DENY", { from: [{ source: { notNamespaces: ["default"] } }] }), false);
    assert.equal(asNobody("DENY", from("*")), true);
  });
});

describe("operations", () => {
  it("methods are exact where they allow, and of any case where they deny", () => {
    assert.equal(allows([to({ methods: ["GET", "P*"] })], { method: "GET" }), true);
    assert.equal(allows([to({ methods: ["GET", "P*"] })], { method: "POST" }), true);
    assert.equal(allows([to({ methods: ["GET"] })], { method: "get" }), false);
    assert.equal(denies([to({ methods: ["DELETE"] })], { method: "delete" }), true);
    assert.equal(allows([to({ notMethods: ["DELETE"] })], { method: "DELETE" }), false);
    assert.equal(allows([to({ notMethods: ["DELETE"] })], { method: "GET" }), true);
  });

  const paths: readonly [string, string, boolean][] = [
    ["/read", "/read", true],
    ["/read", "/read/", false],
    ["/read", "/reader", false],
    ["/api/*", "/api/x/y", true],
    ["/api/**", "/api/x/y", true],
    ["/api/*", "/api", false],
    ["/api*", "/api", true],
    ["*.json", "/x/y.json", true],
    ["*.json", "/x/y.json2", false],
    ["*", "/", true],
  ];
  for (const [pattern, path, expected] of paths) {
    it(`ALLOW ${pattern} ${expected ? "allows" : "does not allow"} ${path}`, () =>
      assert.equal(allows([to({ paths: [pattern] })], { path }), expected));
  }

  it("notPaths excludes in every reading", () => {
    const rule = to({ paths: ["/api/*"], notPaths: ["/api/admin*"] });
    assert.equal(allows([rule], { path: "/api/x" }), true);
    for (const path of ["/api/admin", "/api/x/../admin", "/api/%61dmin", "/api//admin", "/api/./admin"])
      assert.equal(allows([rule], { path }), false, path);
    assert.equal(denies([to({ notPaths: ["/public*"] })], { path: "/public/../secret" }), true);
  });

  // L3, A-33: ways to write /admin that some server takes for it.
  const spellings = [
    "/admin",
    "//admin",
    "///admin",
    "/./admin",
    "/api/../admin",
    "/%61dmin",
    "/api/%2e%2e/admin",
    "/api/%2E%2E/admin",
    "/api/.%2e/admin",
    "/api/..%2fadmin",
    "/api%2f..%2fadmin",
    "/%2fadmin",
    "/\\admin",
    "/api/..\\admin",
    "/api\\..\\admin",
    "/%5cadmin",
    "/api/..%5cadmin",
    "/%2561dmin",
    "/api/%252e%252e/admin",
    "/admin;x=1",
    "/api/..;/admin",
    "/;/admin",
    "/admin/",
    "/admin/.",
    "/admin/x/..",
    "/ADMIN",
    "/api//../admin",
    "/api/%c0%ae%c0%ae/admin",
    "/admin%00",
    "/%25252e/admin",
  ];
  for (const path of spellings) {
    it(`DENY /admin holds for ${JSON.stringify(path)}, and ALLOW /api/* does not let it in`, () => {
      assert.equal(denies([to({ paths: ["/admin"] })], { path }), true);
      assert.equal(allows([to({ paths: ["/api/*"] })], { path }), false);
      assert.equal(
        decide(
          [
            policy({ rules: [to({ paths: ["/api/*"] })] }),
            policy({ action: "DENY", rules: [to({ paths: ["/admin*"] })] }),
          ],
          { path },
        ).allowed,
        false,
      );
    });
  }

  it("DENY /admin/* holds for /admin too", () =>
    assert.equal(denies([to({ paths: ["/admin/*"] })], { path: "/admin" }), true));

  it("unusual but harmless paths stay allowed", () => {
    for (const path of ["/api/caf%C3%A9", "/api/a%20b", "/api/x;v=1", "/api/.well-known", "/api/a..b"])
      assert.equal(allows([to({ paths: ["/api/*"] })], { path }), true, path);
  });
});

describe("what validation should have refused", () => {
  const odd = (rule: object): AuthorizationRule => rule;

  it("an unknown condition makes an ALLOW match nothing and a DENY match more, never less", () => {
    const rules = [
      odd({ from: [{ source: { principals: ["*"], ipBlocks: ["10.0.0.0/8"] } }] }),
      odd({ to: [{ operation: { ports: ["8080"] } }] }),
      odd({ when: [{ key: "request.headers[x-role]", values: ["admin"] }] }),
      odd({ from: [{ source: { requestPrincipals: ["*"] } }] }),
    ];
    for (const rule of rules) {
      assert.equal(allows([rule], {}), false, JSON.stringify(rule));
      assert.equal(denies([rule], {}), true, JSON.stringify(rule));
    }
  });

  it("an unknown action denies", () => {
    assert.equal(decide([policy({ action: "CUSTOM" as "DENY", rules: [] })]).allowed, false);
  });

  it("stars in the middle do not weaken a DENY", () => {
    assert.equal(denies([to({ paths: ["*admin*"] })], { path: "/x/admin/y" }), true);
  });
});
