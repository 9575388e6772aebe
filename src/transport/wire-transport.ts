/** 6 send it, over our own wire: one attempt at one endpoint. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Dispatched, Handler } from "../exchange.ts";
import type { PlatformRequest } from "../listener/platform-request.ts";
import { StreamBody } from "../wire/body-stream.ts";
import type { ClientConnection, ClientListener, ClientRequest } from "../wire/client-connection.ts";
import { emptyBody, WholeBody } from "../wire/incoming-body.ts";
import type { BodySource } from "../wire/message.ts";
import { isIdempotent } from "../wire/methods.ts";
import type { ConnectionPool, ConnectionWaiter } from "../wire/pool.ts";
import type { Dial } from "../wire/pool-options.ts";
import { RequestMessage } from "../wire/request.ts";
import type { ResponseMessage } from "../wire/response.ts";
import { forwardedRequestHead, platformRequestHead, type OutgoingRequest } from "../wire/serialize.ts";
import { hopsHeader, hopsProblem } from "./hops.ts";
import type { SendOverWireDeps } from "./wire-options.ts";

/**
 * Sends a dispatched exchange to its endpoint over a pooled connection.
 *
 * @throws {MeshError} whatever kept a response from coming, with `sent` saying how far the request got
 */
export function sendOverWire(deps: SendOverWireDeps): Handler<Dispatched> {
  return (x) => new Promise((resolve, reject) => new WireAttempt(deps, x, resolve, reject).start());
}

class WireAttempt implements ConnectionWaiter, ClientListener {
  readonly #pool: ConnectionPool;
  readonly #clock: Clock;
  readonly #dial: Dial;
  readonly #x: Dispatched;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: MeshError) => void;
  readonly #request: ClientRequest | MeshError;
  #connection: ClientConnection | null = null;
  #isReused = false;
  #isOver = false;

  constructor(
    deps: SendOverWireDeps,
    x: Dispatched,
    resolve: (response: Response) => void,
    reject: (error: MeshError) => void,
  ) {
    this.#pool = deps.pool;
    this.#clock = deps.clock;
    this.#dial = deps.dial(x);
    this.#x = x;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#request = outgoing(x);
  }

  start(): void {
    const x = this.#x;
    if (x.aborted !== null) return this.failed(x.aborted);
    if (this.#request instanceof MeshError) return this.failed(this.#request);
    x.interrupt = this.#interrupt;
    this.#pool.acquire(this.#dial, this);
  }

  readonly #interrupt = (reason: MeshError): void => {
    if (this.#connection === null) {
      this.#pool.forget(this.#dial, this);
      this.failed(reason);
    } else this.#connection.abort(reason);
  };

  connected(connection: ClientConnection, isReused: boolean): void {
    this.#connection = connection;
    this.#isReused = isReused;
    connection.send(this.#request as ClientRequest, this);
  }

  refused(error: MeshError): void {
    this.failed(error);
  }

  interim(status: number, reason: string, lines: string): void {
    const { request } = this.#x;
    if (request instanceof RequestMessage) request.interimSink?.interim(status, reason, lines);
  }

  responded(response: ResponseMessage): void {
    this.#isOver = true;
    this.#x.respondedAtMs = this.#clock.nowMs();
    // `interrupt` stays until `settled`: a body still streaming must stop when the caller goes.
    this.#resolve(response);
  }

  failed(error: MeshError): void {
    if (this.#isOver) return;
    if (this.#isStale(error)) {
      // A server may close an idle connection while our request is on its way. That is no answer to this request, so the
      // attempt is not over: it goes once, to a fresh connection (RFC 9112 §9.3.1 allows it for what may be repeated).
      this.#connection = null;
      this.#isReused = false;
      this.#pool.acquireFresh(this.#dial, this);
      return;
    }
    this.#isOver = true;
    this.settled();
    this.#reject(error);
  }

  settled(): void {
    if (this.#x.interrupt === this.#interrupt) this.#x.interrupt = null;
  }

  #isStale(error: MeshError): boolean {
    if (!this.#isReused || error.code !== "ERR_UPSTREAM_RESET" || this.#x.aborted !== null) return false;
    const request = this.#request as ClientRequest;
    return !this.#connection!.hasAnswered && request.body.whole !== null && isIdempotent(this.#x.request.method);
  }
}

/** The request as this endpoint gets it. */
function outgoing(x: Dispatched): ClientRequest | MeshError {
  const { request } = x;
  const isWire = request instanceof RequestMessage;
  const hops = isWire ? request.head.hops : Number(x.head.get(hopsHeader) ?? 0);
  const problem = hopsProblem(hops);
  if (problem !== null) return problem;
  // A body that somebody turned into a stream has left the wire; it continues from there.
  const body: BodySource = isWire && !request.isStreamed ? request.source : platformBody(request);
  const out: OutgoingRequest = {
    target: x.upstreamTarget ?? x.head.target,
    authority: x.upstreamAuthority,
    edits: x.requestEdits,
    bodyLength: body.whole === null ? body.length : body.whole.length,
    hops: hops + 1,
  };
  try {
    return {
      head: isWire ? forwardedRequestHead(request, out) : platformRequestHead(request, x.head.authority, out),
      body,
      isHead: request.method === "HEAD",
      upgrade: isWire ? request.head.upgrade : null,
      url: "",
    };
  } catch (error) {
    return MeshError.from(error);
  }
}

/** The body of a platform request, from its first byte. Its length is known if its head says so. */
function platformBody(request: Request): BodySource {
  const { source } = request as Partial<PlatformRequest>;
  if (source !== undefined)
    return source.whole === null ? new StreamBody(source.stream(), source.length) : new WholeBody(source.whole, null);
  const { body } = request;
  if (body === null) return emptyBody;
  const length = request.headers.get("content-length");
  return new StreamBody(body, length !== null && /^\d{1,15}$/.test(length) ? Number(length) : null);
}
