/** The config that the mesh is measured with: what a service in production would have, not an empty one. */
import { stringify } from "yaml";
import { spiffeIdOf } from "../tests/support/certificates.ts";

const routes = 100;
const rulesPerRoute = 10;

/** The request every system gets: it takes the rule in the middle. */
export const benchPath = "/r057/items/42?page=3";

/**
 * `api` at three addresses (one process: each is an endpoint of its own to the balancer, with its own connections, latency
 * and breaker), 100 rules with timeouts and retries, and an authorization policy for the other side.
 */
export function benchDocuments(inboundPort: number): string {
  const documents: object[] = [
    {
      apiVersion: "fetchmesh.dev/v1alpha1",
      kind: "Service",
      metadata: { name: "api" },
      spec: {
        endpoints: [1, 2, 3].map((n) => ({ address: `127.0.0.${n}:${inboundPort}`, identity: spiffeIdOf("api") })),
      },
    },
    {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "api" },
      spec: {
        selector: { matchLabels: { app: "api" } },
        rules: [{ from: [{ source: { principals: ["mesh.local/ns/default/sa/caller"] } }] }],
      },
    },
  ];
  for (let first = 0; first < routes; first += rulesPerRoute) {
    documents.push({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { name: `api-${first}` },
      spec: {
        parentRefs: [{ kind: "Service", name: "api" }],
        rules: Array.from({ length: rulesPerRoute }, (_, n) => rule(first + n)),
      },
    });
  }
  return documents.map((document) => stringify(document)).join("---\n");
}

function rule(n: number): object {
  return {
    matches: [{ path: { type: "PathPrefix", value: `/r${String(n).padStart(3, "0")}` } }],
    backendRefs: [{ name: "api" }],
    timeouts: { request: "10s", backendRequest: "5s" },
    retry: { codes: [503], attempts: 2 },
  };
}
