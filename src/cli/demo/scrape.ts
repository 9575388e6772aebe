/** What sidecars tell of themselves: `/metrics` and `/endpoints` of their admin ports. */
import type { EndpointReport, ServiceReport } from "../../observe/endpoint-report.ts";
import { parsePrometheus, type Scrape } from "../../observe/prometheus-text.ts";
import { call, callJson } from "./http.ts";

export async function scrape(admin: string): Promise<Scrape> {
  return parsePrometheus((await call(admin, "/metrics")).body);
}

/** The endpoints of one service as one sidecar sees them. */
export async function endpointsOf(admin: string, service: string): Promise<readonly EndpointReport[]> {
  const { services } = await callJson<{ services: readonly ServiceReport[] }>(admin, "/endpoints");
  return services.find((one) => one.service === service && one.namespace === "default")?.endpoints ?? [];
}

/** Asks again until `look` finds something. Null if it does not within `timeoutMs`. */
export async function eventually<T>(
  timeoutMs: number,
  look: () => Promise<T | null>,
): Promise<{ found: T; tookMs: number } | null> {
  const startedAtMs = performance.now();
  for (;;) {
    const found = await look().catch(() => null);
    const tookMs = performance.now() - startedAtMs;
    if (found !== null) return { found, tookMs };
    if (tookMs > timeoutMs) return null;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
