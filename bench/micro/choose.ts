/** Which rule, and which endpoint: both must cost the same however many there are. `bun bench/micro/choose.ts` on each runtime. */
import { ServiceCluster } from "../../src/balance/cluster.ts";
import { EndpointState } from "../../src/balance/endpoint.ts";
import { pick } from "../../src/balance/pick.ts";
import type { RequestHead } from "../../src/exchange.ts";
import { backendDefaults } from "../../src/policy/backend-config.ts";
import { createBreaker } from "../../src/policy/breaker.ts";
import { LimitState } from "../../src/policy/limit.ts";
import { RetryBudget } from "../../src/policy/retry-budget.ts";
import { systemRandom } from "../../src/random.ts";
import type { RouteTable } from "../../src/route/table.ts";
import { headOf, routeOf, tableOf } from "../../tests/route/tables.ts";
import { measure } from "./measure.ts";

for (const count of [10, 100, 10_000]) {
  const table = tableWith(count);
  // Other paths than the table's strings, and many of them, as requests bring.
  const heads: RequestHead[] = Array.from({ length: 256 }, (_, n) =>
    headOf("GET", `/api/r${(n * 7919) % count}/items/${n}`),
  );
  let turn = 0;
  measure(`match among ${count} rules`, () => table.match(heads[turn++ & 255]!, 80));
}

for (const algorithm of ["least-request", "round-robin"] as const) {
  for (const count of [1, 3, 1000]) {
    const cluster = clusterOf(count);
    measure(`pick by ${algorithm} among ${count} endpoints`, () => pick(cluster, algorithm, null, systemRandom, 1000));
  }
}

function tableWith(count: number): RouteTable {
  const rules = Array.from({ length: count }, (_, n) => {
    const match = { path: { type: "PathPrefix" as const, value: `/api/r${n}` } };
    return [[match], "api"] as const;
  });
  return tableOf(routeOf(rules));
}

function clusterOf(count: number): ServiceCluster {
  const cluster = new ServiceCluster({
    key: "default/api",
    config: backendDefaults,
    retryBudget: new RetryBudget(backendDefaults.retryBudget),
    limits: new LimitState(),
  });
  cluster.endpoints = Array.from({ length: count }, (_, n) => {
    const host = `10.0.${n >> 8}.${n & 255}`;
    const record = { address: `${host}:80`, host, port: 80, instance: null, zone: null, weight: 1, identity: null };
    const endpoint = new EndpointState(record, createBreaker());
    endpoint.latencyEwmaMs = 1 + (n % 7);
    return endpoint;
  });
  cluster.refresh();
  return cluster;
}
