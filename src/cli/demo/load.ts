/** A steady load, open loop: requests start by the clock, however slow the replies, so nothing is hidden by waiting. */
import { call } from "./http.ts";

/** What `web` answers, as far as the demo reads it. */
export interface OrderReply {
  readonly instance: string;
  readonly order: {
    readonly instance: string;
    readonly version: string;
    readonly caller: string | null;
    readonly item: { readonly instance: string; readonly caller: string | null };
  };
}

export interface Sample {
  readonly endedAtMs: number;
  readonly tookMs: number;
  readonly isOk: boolean;
  /** Which orders instance and version answered; "" if none. */
  readonly instance: string;
  readonly version: string;
  /** What went wrong; "" if nothing. */
  readonly failure: string;
}

export interface LoadReport {
  readonly sent: number;
  readonly failed: number;
  readonly firstFailure: string;
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers by orders instance, and by version. */
  readonly byInstance: Readonly<Record<string, number>>;
  readonly byVersion: Readonly<Record<string, number>>;
}

/** Samples are kept this long; the live table looks at the last seconds, a check at its own duration. */
const keptMs = 60_000;

export class Load {
  readonly #targets: readonly string[];
  readonly #rate: number;
  readonly #samples: Sample[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  #timer: ReturnType<typeof setInterval> | null = null;
  #sent = 0;

  /** `targets`: `host:port` of the web instances, called in turn. `rate`: requests per second, all together. */
  constructor(targets: readonly string[], rate: number) {
    this.#targets = targets;
    this.#rate = rate;
  }

  get isRunning(): boolean {
    return this.#timer !== null;
  }

  get total(): number {
    return this.#sent;
  }

  start(): void {
    const startedAtMs = performance.now();
    let due = 0;
    // 5 ms: finer than timers are exact, coarse enough to cost nothing; what fell due meanwhile starts together.
    this.#timer = setInterval(() => {
      const elapsedMs = performance.now() - startedAtMs;
      for (; due < (elapsedMs * this.#rate) / 1_000; due++) this.#send();
    }, 5);
  }

  /** Stops sending and waits for what is under way. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await Promise.all(this.#inFlight);
  }

  /** What ended since `sinceMs` (`performance.now()`). */
  report(sinceMs: number): LoadReport {
    const samples = this.#samples.filter(({ endedAtMs }) => endedAtMs >= sinceMs);
    const failures = samples.filter(({ isOk }) => !isOk);
    const times = samples.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
    const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
    return {
      sent: samples.length,
      failed: failures.length,
      firstFailure: failures[0]?.failure ?? "",
      rps: samples.length / Math.max(0.001, (performance.now() - sinceMs) / 1_000),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      byInstance: countBy(samples, ({ instance }) => instance),
      byVersion: countBy(samples, ({ version }) => version),
    };
  }

  #send(): void {
    const target = this.#targets[this.#sent++ % this.#targets.length]!;
    const work = order(target).then((sample) => {
      this.#inFlight.delete(work);
      this.#samples.push(sample);
      const oldest = sample.endedAtMs - keptMs;
      // In blocks: one by one, each would move the whole array.
      if ((this.#samples[0]?.endedAtMs ?? 0) < oldest - 5_000) {
        this.#samples.splice(
          0,
          this.#samples.findIndex(({ endedAtMs }) => endedAtMs >= oldest),
        );
      }
    });
    this.#inFlight.add(work);
  }
}

/** One request to `web`; never rejects. */
export async function order(target: string, headers: Readonly<Record<string, string>> = {}): Promise<Sample> {
  const startedAtMs = performance.now();
  const done = (facts: Pick<Sample, "isOk" | "instance" | "version" | "failure">): Sample => {
    const endedAtMs = performance.now();
    return { endedAtMs, tookMs: endedAtMs - startedAtMs, ...facts };
  };
  try {
    const { status, body } = await call(target, "/", { headers });
    if (status !== 200)
      return done({ isOk: false, instance: "", version: "", failure: `${status} ${body.slice(0, 300)}` });
    const { order } = JSON.parse(body) as OrderReply;
    return done({ isOk: true, instance: order.instance, version: order.version, failure: "" });
  } catch (error) {
    return done({
      isOk: false,
      instance: "",
      version: "",
      failure: error instanceof Error ? error.message : String(error),
    });
  }
}

function countBy(samples: readonly Sample[], key: (sample: Sample) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const sample of samples) if (sample.isOk) counts[key(sample)] = (counts[key(sample)] ?? 0) + 1;
  return counts;
}
