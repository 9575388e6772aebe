/** The books of one attempt: it counts as load until its response is complete, and its endpoint is judged exactly once. */
import type { Clock } from "../clock.ts";
import type { MeshError } from "../errors.ts";
import type { Exchange, Finisher } from "../exchange.ts";
import type { Events } from "../observe/events.ts";
import type { BreakerConfig } from "../policy/breaker.ts";
import type { Outcome } from "../policy/classify.ts";
import type { Cluster } from "./cluster.ts";
import type { EndpointState } from "./endpoint.ts";
import { observeFailure, observeLatency } from "./ewma.ts";

/** What a dispatch reports to; shared by all. Policy is known by type only. */
export interface DispatchBook {
  readonly clock: Clock;
  readonly events: Events;
  readonly breakers: {
    report(
      cluster: Cluster,
      endpoint: EndpointState,
      generation: number,
      outcome: Outcome,
      config: BreakerConfig,
    ): void;
  };
  readonly classifyStatus: (status: number) => Outcome;
  readonly classifyError: (error: MeshError) => Outcome;
}

export class Dispatch implements Finisher {
  readonly #book: DispatchBook;
  readonly #cluster: Cluster;
  readonly #endpoint: EndpointState;
  readonly #config: BreakerConfig;
  readonly #generation: number;
  readonly #startedAtMs: number;
  #status = 0;
  #error: MeshError | null = null;
  #isJudged = false;

  constructor(book: DispatchBook, cluster: Cluster, endpoint: EndpointState, config: BreakerConfig) {
    this.#book = book;
    this.#cluster = cluster;
    this.#endpoint = endpoint;
    this.#config = config;
    this.#generation = endpoint.breaker.generation;
    this.#startedAtMs = book.clock.nowMs();
    endpoint.inFlight++;
  }

  /** The response head is here. A failure is told at once; a success only when the body is whole, unless it is a probe. */
  responded(status: number): void {
    this.#status = status;
    const outcome = this.#book.classifyStatus(status);
    const nowMs = this.#book.clock.nowMs();
    if (outcome === "success") observeLatency(this.#endpoint, nowMs - this.#startedAtMs, nowMs);
    else observeFailure(this.#endpoint, nowMs - this.#startedAtMs, nowMs);
    // A probe that opens an event stream would otherwise keep everybody else out for as long as it is read.
    if (outcome === "failure" || this.#endpoint.breaker.current.kind === "half-open") this.#judge(outcome);
  }

  /** There will be no response. */
  lost(error: MeshError): void {
    this.#error = error;
    const outcome = this.#book.classifyError(error);
    const nowMs = this.#book.clock.nowMs();
    if (outcome === "failure") observeFailure(this.#endpoint, nowMs - this.#startedAtMs, nowMs);
    this.#judge(outcome);
  }

  finished(x: Exchange): void {
    this.#endpoint.inFlight--;
    if (this.#error === null && this.#status !== 0) this.#error = truncation(x);
    if (this.#error !== null) this.#judge(this.#book.classifyError(this.#error));
    else this.#judge(this.#status === 0 ? "nothing" : this.#book.classifyStatus(this.#status));
    this.#book.events.attemptFinished?.(x, this.#endpoint, this.#status, this.#error);
  }

  #judge(outcome: Outcome): void {
    if (this.#isJudged) return;
    this.#isJudged = true;
    this.#book.breakers.report(this.#cluster, this.#endpoint, this.#generation, outcome, this.#config);
  }
}

/** What the upstream did to a body whose head was fine. A deadline in the middle of one may be the reader's slowness. */
function truncation(x: Exchange): MeshError | null {
  const reason = x.error ?? x.aborted;
  if (reason === null) return null;
  return reason.code === "ERR_UPSTREAM_RESET" || reason.code === "ERR_UPSTREAM_PROTOCOL" ? reason : null;
}
