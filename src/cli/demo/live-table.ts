/** The live table: one row per service instance, drawn again each second from what the sidecars count. */
import type { EndpointReport } from "../../observe/endpoint-report.ts";
import { quantile, type Scrape } from "../../observe/prometheus-text.ts";
import type { Paint } from "../output.ts";
import { renderTable } from "../table.ts";
import type { Fleet, Member } from "./fleet.ts";
import type { Load } from "./load.ts";
import { endpointsOf, scrape } from "./scrape.ts";

const columns = [
  { heading: "INSTANCE" },
  { heading: "SIDECAR" },
  { heading: "RPS", align: "right" },
  { heading: "SUCCESS", align: "right" },
  { heading: "P50", align: "right" },
  { heading: "P99", align: "right" },
  { heading: "RETRIES", align: "right" },
  { heading: "BREAKER" },
  { heading: "MTLS" },
  { heading: "ADMIN" },
] as const;

interface Reading {
  readonly atMs: number;
  readonly metrics: Scrape;
}

export class LiveTable {
  readonly #fleet: Fleet;
  readonly #load: Load;
  readonly #paint: Paint;
  readonly #before = new Map<Member, Reading>();

  constructor(fleet: Fleet, load: Load, paint: Paint) {
    this.#fleet = fleet;
    this.#load = load;
    this.#paint = paint;
  }

  async draw(): Promise<string> {
    const rows = await Promise.all(this.#fleet.inOrder().map((member) => this.#row(member)));
    const { rps, sent, failed, p50Ms, p99Ms } = this.#load.report(performance.now() - 10_000);
    const success = sent === 0 ? 100 : (100 * (sent - failed)) / sent;
    const total = `load: ${rps.toFixed(0)} rps, ${success.toFixed(2)} % ok, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms (last 10 s, ${this.#load.total} requests in all)`;
    return `${renderTable(columns, rows, this.#paint)}\n\n${total}`;
  }

  async #row(member: Member): Promise<string[]> {
    const { options, runtime, facts } = member;
    const name = options.instance;
    const metrics = await scrape(facts.admin).catch(() => null);
    if (metrics === null) return [name, runtime, "-", "-", "-", "-", "-", this.#paint.red("down"), "-", facts.admin];
    const now: Reading = { atMs: performance.now(), metrics };
    const before = this.#before.get(member);
    this.#before.set(member, now);
    // Web gets its requests from outside the mesh: what its sidecar sees are the calls it makes.
    const direction = options.service === "web" || options.service === "reports" ? "outbound" : "inbound";
    const seconds = before === undefined ? 1 : (now.atMs - before.atMs) / 1_000;
    const grown = (metric: string, labels: Record<string, string> = {}): number =>
      before === undefined ? 0 : metrics.sum(metric, labels) - before.metrics.sum(metric, labels);
    const requests = grown("response_total", { direction });
    const failures = grown("response_total", { direction, classification: "failure" });
    const mutual = grown("response_total", { direction, tls: "true" });
    const success = requests === 0 ? "-" : `${((100 * (requests - failures)) / requests).toFixed(1)} %`;
    return [
      name,
      runtime,
      (requests / seconds).toFixed(0),
      failures > 0 ? this.#paint.red(success) : success,
      latency(metrics, before?.metrics, direction, 0.5),
      latency(metrics, before?.metrics, direction, 0.99),
      String(metrics.sum("fetchmesh_retries_total")),
      await this.#breakers(member),
      requests === 0 ? "-" : mutual === requests ? this.#paint.green("all") : this.#paint.red(`${mutual}/${requests}`),
      facts.admin,
    ];
  }

  /** Of everybody this member calls. */
  async #breakers({ facts }: Member): Promise<string> {
    const called = await Promise.all(
      ["orders", "inventory"].map((service) => endpointsOf(facts.admin, service).catch(() => [])),
    );
    const open = called.flat().filter(({ ejected }) => ejected);
    if (open.length === 0) return this.#paint.green("closed");
    // Whoever does not call has no request to probe with: its breaker is open until the next one.
    const say = ({ instance, address, breaker, source, openForMs }: EndpointReport): string =>
      `${instance ?? address} ${openForMs === 0 ? "due for a probe" : breaker} (${source})`;
    return this.#paint.yellow(open.map(say).join(", "));
  }
}

/** Of the replies since the last drawing. */
function latency(now: Scrape, before: Scrape | undefined, direction: string, ratio: number): string {
  const buckets = (one: Scrape | undefined) => one?.buckets("response_latency_ms", { direction }) ?? [];
  const ms = quantile(ratio, buckets(now), buckets(before));
  return Number.isNaN(ms) ? "-" : `${ms.toFixed(1)} ms`;
}
