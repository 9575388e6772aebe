/** What sidecars tell of themselves: `/metrics` and `/endpoints` of their admin ports. */
import type { EndpointReport, ServiceReport } from "../../observe/endpoint-report.ts";
import { call, callJson } from "./http.ts";

export interface Metric {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export async function scrape(admin: string): Promise<readonly Metric[]> {
  return parseMetrics((await call(admin, "/metrics")).body);
}

/** Prometheus text, as far as our own exposition uses it: one sample a line, no timestamps. */
export function parseMetrics(text: string): readonly Metric[] {
  const metrics: Metric[] = [];
  for (const line of text.split("\n")) {
    const [, name, , labelText = "", value] = /^([A-Za-z_:][\w:]*)(\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === undefined) continue;
    const labels: Record<string, string> = {};
    for (const [, label, quoted] of labelText.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[label!] = quoted!.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
    }
    metrics.push({ name, labels, value: Number(value) });
  }
  return metrics;
}

/** The sum of a metric over the series whose labels are as wanted. */
export function sum(metrics: readonly Metric[], name: string, wanted: Readonly<Record<string, string>> = {}): number {
  let total = 0;
  for (const metric of metrics) {
    if (metric.name !== name) continue;
    if (Object.entries(wanted).every(([label, value]) => metric.labels[label] === value)) total += metric.value;
  }
  return total;
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
