/** Hints over server-sent events: one stream, opened with the first listener, opened again whenever it ends or falls silent. */
import { sleep, type Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import { readHint } from "./breaker-record.ts";
import type { Hint } from "./store.ts";

export interface HttpHintsDeps {
  readonly open: (signal: AbortSignal) => Promise<Response>;
  readonly clock: Clock;
  readonly random: Random;
  readonly isOn: boolean;
}

// The control plane sends a comment every 5 s: three missing ones are a dead connection (R13).
const silenceMs = 15_000;
const firstRetryMs = 100;
const longestRetryMs = 5_000;
const maxLineChars = 4_096;

export class HttpHints {
  readonly #deps: HttpHintsDeps;
  readonly #listeners = new Set<(hint: Hint) => void>();
  #stop: AbortController | null = null;
  #stands = false;

  constructor(deps: HttpHintsDeps) {
    this.#deps = deps;
  }

  watch(listener: (hint: Hint) => void): () => void {
    const entry = (hint: Hint): void => listener(hint);
    this.#listeners.add(entry);
    if (!this.#deps.isOn || this.#stands) {
      queueMicrotask(() => {
        if (this.#listeners.has(entry)) entry({ t: "resync" });
      });
    }
    if (this.#deps.isOn && this.#stop === null) {
      this.#stop = new AbortController();
      void this.#follow(this.#stop.signal);
    }
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) this.close();
    };
  }

  close(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.#stands = false;
  }

  async #follow(stopped: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    for (let failures = 0; !stopped.aborted; failures++) {
      if (await this.#listen(stopped)) failures = 0;
      this.#stands = false;
      await sleep(clock, 10 + random() * Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(failures, 10)), stopped);
    }
  }

  /** True if the stream stood at all. */
  async #listen(stopped: AbortSignal): Promise<boolean> {
    const { clock, open } = this.#deps;
    const abort = new AbortController();
    const end = (): void => abort.abort();
    stopped.addEventListener("abort", end, { once: true });
    let timer = clock.after(silenceMs, end);
    let hasStood = false;
    try {
      const response = await open(abort.signal);
      if (response.status !== 200 || response.body === null) {
        await response.body?.cancel();
        return false;
      }
      const reader = response.body.getReader();
      // A stream that ignores the signal would keep us here for ever.
      abort.signal.addEventListener("abort", () => void reader.cancel().catch(() => {}), { once: true });
      const decoder = new TextDecoder();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done || stopped.aborted) return hasStood;
        timer.cancel();
        timer = clock.after(silenceMs, end);
        hasStood = this.#stands = true;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > maxLineChars) return hasStood;
        for (const line of lines) this.#line(line);
      }
    } catch {
      return hasStood;
    } finally {
      timer.cancel();
      stopped.removeEventListener("abort", end);
      abort.abort();
    }
  }

  #line(line: string): void {
    if (!line.startsWith("data: ")) return;
    const text = line.slice(6);
    // The control plane's own subscription stands (again): whatever it missed, we missed.
    const hint: Hint | null = text === '{"t":"resync"}' ? { t: "resync" } : readHint(text);
    if (hint !== null) for (const listener of this.#listeners) listener(hint);
  }
}
