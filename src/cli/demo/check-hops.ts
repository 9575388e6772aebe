/** 1: every hop is encrypted, and each side proved who it is. */
import type { Scrape } from "../../observe/prometheus-text.ts";
import type { Check, CheckResult, Stage } from "./check.ts";
import { callJson } from "./http.ts";
import type { OrderReply } from "./load.ts";
import { scrape } from "./scrape.ts";

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
    const scrapes = await Promise.all(fleet.of(to).map(({ facts }) => scrape(facts.admin)));
    const { mutual, all } = inboundRequests(scrapes, expected.from);
    ok &&= identified && all > 0 && mutual === all;
    evidence.push(
      `${seen.uri ?? `nobody (header: ${header ?? "none"})`} → ${seen.by ?? "nobody"}: ${mutual} of ${all} requests over mutual TLS`,
    );
  }
  return { ok, evidence };
}

const spiffeId = (service: string): string => `spiffe://mesh.local/ns/default/sa/${service}`;

function inboundRequests(scrapes: readonly Scrape[], from: string): { mutual: number; all: number } {
  const count = (labels: Readonly<Record<string, string>>): number =>
    scrapes.reduce((total, one) => total + one.sum("istio_requests_total", { reporter: "destination", ...labels }), 0);
  return { mutual: count({ source_principal: from, connection_security_policy: "mutual_tls" }), all: count({}) };
}

/** `By=…;Hash=…;Subject="…";URI=…` of Envoy's header. */
function parseClientCertificate(header: string | null): { by: string | null; uri: string | null } {
  const field = (name: string): string | null =>
    new RegExp(`(?:^|;)${name}="?([^;",]+)`, "i").exec(header ?? "")?.[1] ?? null;
  return { by: field("By"), uri: field("URI") };
}
