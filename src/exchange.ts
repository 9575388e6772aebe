/**
 * A request on its way through the mesh, and the types that keep its stations in order.
 *
 * Each station adds one fact; a layer's type says which facts it needs and which it adds, so a stack in the wrong order
 * does not compile. One object is allocated per request, every field present from the start (one hidden class).
 */
import type { EndpointState } from "./balance/endpoint.ts";
import type { Cluster } from "./balance/cluster.ts";
import type { Snapshot } from "./control/snapshot.ts";
import type { MeshError, ResponseFlag } from "./errors.ts";
import { HeaderEdits } from "./headers.ts";
import type { RouteDecision } from "./route/route.ts";
import type { Peer } from "./identity/peer.ts";

export type Handler<X> = (exchange: X) => Promise<Response>;

/** `next` is the rest of the way. A layer that only adds a fact returns `next(x)` without `await`. */
export type Layer<Outer, Inner = Outer> = (next: Handler<Inner>) => Handler<Outer>;

/** A stack being written down, outermost layer first: `stack<Accepted>().through(a()).through(b()).to(handler)`. */
export interface Stack<Outer, Inner> {
  through<Next>(layer: Layer<Inner, Next>): Stack<Outer, Next>;
  to(handler: Handler<Inner>): Handler<Outer>;
}

/** Folds layers into one handler, once per process, never per request. The one place that decides how a stack is run. */
export function stack<X>(): Stack<X, X> {
  const grow = <Inner>(fold: (inner: Handler<Inner>) => Handler<X>): Stack<X, Inner> => ({
    through: (layer) => grow((inner) => fold(layer(inner))),
    to: fold,
  });
  return grow<X>((inner) => inner);
}

/** The head of a request as layers read it: over the bytes that arrived, or over a platform `Request`. */
export interface RequestHead {
  readonly method: string;
  /** Raw path and query in origin-form, byte-exact as sent ("/a%20b?x=1"). */
  readonly target: string;
  /** Raw path, without the query. */
  readonly path: string;
  /** What follows the first "?", or "". */
  readonly query: string;
  /** `host[:port]`, lower case, trailing dot removed; from the absolute-form target if there is one (RFC 9112 §3.2.2). */
  readonly authority: string;
  /** One field by its lower-case name; several lines are joined by ", ". `null` if absent. */
  get(name: string): string | null;
  /** Every line of one field, unjoined: what L5 (multi-value confusion) needs. */
  getAll(name: string): readonly string[];
  /**
   * Every field name as received but lower-case, one per line, in order: what a rule about prefixes or `_` look-alikes (L6) needs.
   * Names without `_` whose first and third letter `mayMatter` refuses may be left out: cutting every name costs 0.9 µs.
   */
  names(mayMatter?: (first: number, third: number) => boolean): readonly string[];
}

/** Told once when an exchange is over: its last byte is written, or it was aborted. Objects, not closures: no allocation per request. */
export interface Finisher {
  finished(exchange: Exchange): void;
}

export type Direction = "outbound" | "inbound";

/** What the listener knows when a request is complete enough to be handled. */
export interface ExchangeInit {
  readonly direction: Direction;
  readonly request: Request;
  readonly head: RequestHead;
  readonly snapshot: Snapshot;
  readonly startedAtMs: number;
  /** Who is connected, as verified on this connection; `null` before `identify`. */
  readonly connection: ConnectionFacts;
}

/** Facts of the downstream connection, computed once per connection and shared by its requests. */
export interface ConnectionFacts {
  readonly remoteAddress: string;
  readonly localPort: number;
  /** Set only on connections whose certificate passed our own SPIFFE checks. */
  readonly peer: Peer | null;
  readonly encrypted: boolean;
  /** A per-upstream local port names its service here (`--upstream orders=9001`). */
  readonly upstream: string | null;
}

export class Exchange {
  readonly direction: Direction;
  readonly request: Request;
  readonly head: RequestHead;
  /** The one config version this request sees from beginning to end (I4). */
  readonly snapshot: Snapshot;
  readonly startedAtMs: number;
  readonly connection: ConnectionFacts;

  /** What the mesh changes in the forwarded request and in the reply; applied once, by whoever writes the bytes. */
  readonly requestEdits: HeaderEdits = new HeaderEdits();
  readonly responseEdits: HeaderEdits = new HeaderEdits();
  /** Replaces the forwarded origin-form target (URLRewrite); `null` forwards the received bytes. */
  upstreamTarget: string | null = null;
  /** Replaces the forwarded `Host`; `null` forwards the received one. */
  upstreamAuthority: string | null = null;

  peer: Peer | null = null;
  cluster: Cluster | null = null;
  route: RouteDecision | null = null;
  endpoint: EndpointState | null = null;

  requestId = "";
  traceId = "";
  /** Clock.nowMs() after which nobody waits for the reply; Infinity if none. */
  deadlineMs: number = Infinity;
  /** 1-based number of the attempt in flight; 0 before the first. */
  attempt = 0;
  /** Endpoints whose attempts failed, in order: the next attempt goes elsewhere if it can. `null` before the first failure. */
  tried: EndpointState[] | null = null;
  /** Access-log flag of the outcome so far. */
  flag: ResponseFlag = "";
  /** The error a reply of our own was made from. */
  error: MeshError | null = null;
  status = 0;
  bytesReceived = 0;
  bytesSent = 0;
  /** When the upstream's response head arrived (Clock.nowMs()); 0 if it never did. */
  respondedAtMs = 0;

  /** Set once the caller is gone or the total deadline has passed. */
  aborted: MeshError | null = null;
  /** Whoever is being waited for on behalf of this exchange (an attempt, a back-off); cleared by its owner when done. */
  interrupt: ((reason: MeshError) => void) | null = null;
  #finishers: Finisher[] | null = null;
  #attemptFinishers: Finisher[] | null = null;
  #over = false;

  constructor(init: ExchangeInit) {
    this.direction = init.direction;
    this.request = init.request;
    this.head = init.head;
    this.snapshot = init.snapshot;
    this.startedAtMs = init.startedAtMs;
    this.connection = init.connection;
  }

  /** Stops whatever is in flight for this exchange. Idempotent: the first reason stays. */
  abort(reason: MeshError): void {
    if (this.aborted !== null || this.#over) return;
    this.aborted = reason;
    const interrupt = this.interrupt;
    this.interrupt = null;
    interrupt?.(reason);
  }

  atFinish(finisher: Finisher): void {
    if (this.#over) finisher.finished(this);
    else if (this.#finishers === null) this.#finishers = [finisher];
    else this.#finishers.push(finisher);
  }

  /** As `atFinish`, for the books of one attempt: told when its response is complete, discarded for a repeat, or lost. */
  atAttemptEnd(finisher: Finisher): void {
    if (this.#over) finisher.finished(this);
    else if (this.#attemptFinishers === null) this.#attemptFinishers = [finisher];
    else this.#attemptFinishers.push(finisher);
  }

  /** Called by whoever gives up on the attempt in flight, before the next one starts; `finish` ends the last. */
  endAttempt(): void {
    const finishers = this.#attemptFinishers;
    this.#attemptFinishers = null;
    if (finishers !== null) for (let i = finishers.length - 1; i >= 0; i--) finishers[i]?.finished(this);
  }

  /** Called by the edge that writes the reply, exactly once, when nothing of this exchange is left to do. */
  finish(): void {
    if (this.#over) return;
    this.endAttempt();
    this.#over = true;
    const finishers = this.#finishers;
    this.#finishers = null;
    if (finishers !== null) for (let i = finishers.length - 1; i >= 0; i--) finishers[i]?.finished(this);
  }

  get over(): boolean {
    return this.#over;
  }
}

/** Its bytes were acceptable; nothing else is known. */
export type Accepted = Exchange;
/** We know who asks. */
export type Identified = Accepted & { peer: Peer };
/** We know which service and rule it is for. */
export type Routed = Identified & { cluster: Cluster; route: RouteDecision };
/** We know which endpoint gets this attempt. */
export type Dispatched = Routed & { endpoint: EndpointState };
