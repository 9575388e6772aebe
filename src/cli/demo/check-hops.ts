/** 1: every hop is encrypted, and each side proved who it is. */
import type { Check, CheckResult, Stage } from "./check.ts";
import { callJson } from "./http.ts";
import type { OrderReply } from "./load.ts";
import { type Metric, scrape, sum } from "./scrape.ts";

export const everyHopEncrypted: Check = { name: "every hop encrypted, both sides identified", run };

async function run({ fleet }: Stage): Promise<CheckResult> {
  const [web] = fleet.of("web");
  const reply = await callJson<OrderReply>(web!.app, "/");
  const hops = [
    { from: "web", to: "orders", header: reply.order.caller },
    { from: "orders", to: "inventory", header: reply.order.item.caller },
  ];
  const evidence: string[] = [];
  let ok = true;
  for (const { from, to, header } of hops) {
    // What the application was told by its sidecar, who read it from the certificate of the connection.
    const seen = parseClientCertificate(header);
    const expected = { from: spiffeId(from), to: spiffeId(to) };
    const identified = seen.uri === expected.from && seen.by === expected.to;
    // And what the receiving sidecars counted: how many of the requests came over mutual TLS.
    const metrics = (await Promise.all(fleet.of(to).map(({ facts }) => scrape(facts.admin)))).flat();
    const { mutual, all } = inboundRequests(metrics, expected.from);
    ok &&= identified && all > 0 && mutual === all;
    evidence.push(
      `${seen.uri ?? `nobody (header: ${header ?? "none"})`} → ${seen.by ?? "nobody"}: ${mutual} of ${all} requests over mutual TLS`,
    );
  }
  return { ok, evidence };
}

const spiffeId = (service: string): string => `spiffe://mesh.local/ns/default/sa/${service}`;

function inboundRequests(metrics: readonly Metric[], from: string): { mutual: number; all: number } {
  const inbound = { reporter: "destination", source_principal: principal(metrics, from) };
  return {
    mutual: sum(metrics, "istio_requests_total", { ...inbound, connection_security_policy: "mutual_tls" }),
    all: sum(metrics, "istio_requests_total", { reporter: "destination" }),
  };
}

/** Istio writes principals without "spiffe://" in places; whichever this exposition uses. */
function principal(metrics: readonly Metric[], id: string): string {
  const short = id.slice("spiffe://".length);
  return metrics.some(({ labels }) => labels["source_principal"] === short) ? short : id;
}

/** `By=…;Hash=…;Subject="…";URI=…` of Envoy's header. */
function parseClientCertificate(header: string | null): { by: string | null; uri: string | null } {
  const field = (name: string): string | null =>
    new RegExp(`(?:^|;)${name}="?([^;",]+)`, "i").exec(header ?? "")?.[1] ?? null;
  return { by: field("By"), uri: field("URI") };
}
