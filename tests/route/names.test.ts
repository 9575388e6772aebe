import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ServiceConfig } from "../../src/control/snapshot.ts";
import { parseServiceName, ServiceNames, servicePort } from "../../src/route/names.ts";

describe("parseServiceName()", () => {
  const accepted: readonly [string, string, number | null][] = [
    ["orders", "shop/orders", null],
    ["orders:8080", "shop/orders", 8080],
    ["orders.billing", "billing/orders", null],
    ["orders.billing:1", "billing/orders", 1],
    ["orders.billing.svc", "billing/orders", null],
    ["orders.billing.svc.cluster.local", "billing/orders", null],
    ["orders.billing.svc.cluster.local:65535", "billing/orders", 65_535],
    ["a-1", "shop/a-1", null],
    ["0", "shop/0", null],
  ];
  for (const [authority, key, port] of accepted) {
    it(`reads ${authority}`, () => {
      const name = parseServiceName(authority, "shop");
      assert.equal(name?.key, key);
      assert.equal(name?.port, port);
    });
  }

  const refused = [
    "",
    "example.com.au",
    "127.0.0.1",
    "127.0.0.1:80",
    "[::1]:80",
    "::1",
    "orders:",
    "orders:0",
    "orders:65536",
    "orders:8x",
    "orders:-1",
    "orders:080000",
    "Orders",
    "or_ders",
    "-orders",
    "orders-",
    "orders.",
    ".orders",
    "orders..shop",
    "orders.svc.cluster.local",
    "svc.cluster.local",
    ".svc",
    "a.b.c",
    "a".repeat(64),
    "orders/x",
    "or ders",
    "orders@x",
  ];
  for (const authority of refused) {
    it(`refuses "${authority.slice(0, 40)}"`, () => assert.equal(parseServiceName(authority, "shop"), null));
  }
});

describe("servicePort()", () => {
  const withPorts = (...ports: number[]): ServiceConfig => ({
    key: "default/orders",
    name: "orders",
    namespace: "default",
    endpoints: [],
    ports: ports.map((port) => ({ name: null, port, appProtocol: null })),
  });

  it("takes any port while no document names one", () => {
    assert.equal(servicePort(undefined, 4711), 4711);
    assert.equal(servicePort(withPorts(), 4711), 4711);
    assert.equal(servicePort(undefined, null), 80);
  });

  it("takes only named ports afterwards", () => {
    assert.equal(servicePort(withPorts(80, 8080), 8080), 8080);
    assert.equal(servicePort(withPorts(80, 8080), 81), null);
  });

  it("reads an absent port as 80, or as the first if 80 is not among them", () => {
    assert.equal(servicePort(withPorts(8080, 80), null), 80);
    assert.equal(servicePort(withPorts(8080, 9090), null), 8080);
  });
});

describe("ServiceNames", () => {
  it("answers as the parser does, from a cache that starts over when full", () => {
    const names = new ServiceNames("shop", 3);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 10; i++) assert.equal(names.of(`s${i}:80`)?.key, `shop/s${i}`);
      assert.equal(names.of("not a name"), null);
    }
    assert.equal(names.of("orders"), names.of("orders"));
  });
});
