/** One `fetch` of a module: from the caller's arguments to an exchange, and from its reply to the caller's `Response`. */
import type { Clock } from "./clock.ts";
import { MeshError } from "./errors.ts";
import { Exchange, type Accepted, type ConnectionFacts, type Handler } from "./exchange.ts";
import { PlatformHead } from "./listener/platform-head.ts";
import type { PlatformRequest } from "./listener/platform-request.ts";
import type { MeshSource, WaitUntil } from "./mesh-source.ts";
import { problemResponse } from "./problem.ts";

export interface MeshFetchDeps {
  readonly source: MeshSource;
  readonly handler: Handler<Accepted>;
  readonly clock: Clock;
  /** Who refuses, as replies name it. */
  readonly by: string;
}

/** The caller is this process: nobody had to prove anything. */
const inProcess: ConnectionFacts = Object.freeze({
  remoteAddress: "",
  localPort: 0,
  peer: null,
  encrypted: false,
  upstream: null,
});

/** @throws what the caller's own signal says, and nothing else */
export async function fetchThrough(
  deps: MeshFetchDeps,
  request: PlatformRequest,
  waitUntil?: WaitUntil,
): Promise<Response> {
  const { source, handler, clock, by } = deps;
  const { signal } = request;
  finishAbandoned();
  signal.throwIfAborted();
  const startedAtMs = clock.nowMs();
  let snapshot;
  try {
    snapshot = await source.current(waitUntil);
  } catch (cause) {
    return problemResponse(notReady(MeshError.from(cause)), { audience: "app", by, isHead: request.method === "HEAD" });
  }
  signal.throwIfAborted();
  const exchange = new Exchange({
    direction: "outbound",
    request,
    head: new PlatformHead(request),
    snapshot,
    startedAtMs,
    connection: inProcess,
  });
  const call = new Call(exchange, request);
  const response = await handler(exchange);
  if (!signal.aborted) return call.reply(response);
  call.end();
  throw signal.reason;
}

/** Whatever is wrong with the config, its consequence here is one: no service is known yet. */
function notReady(cause: MeshError): MeshError {
  const { retryAfterMs = 1_000 } = cause;
  const advice = cause.advice ?? "Correct what the detail names; the next request looks again";
  return new MeshError("ERR_NOT_READY", "There is no config to go by", { cause, advice, retryAfterMs });
}

/**
 * What of a reply is read ahead, so that an exchange ends although nobody reads its body: `if (!response.ok) throw` is how most
 * bodies of failures end.
 */
const readAheadBytes = 65_536;

/**
 * A worker's request can end without a word to anybody who waits: its promises just never settle. What it held, load and limits
 * of an endpoint, is given back when its call is garbage, by the next request: outside of one, a worker may do next to nothing.
 */
const abandoned: Exchange[] = [];
const garbage: FinalizationRegistry<Exchange> | null =
  typeof FinalizationRegistry === "undefined"
    ? null
    : new FinalizationRegistry((exchange) => void abandoned.push(exchange));

function finishAbandoned(): void {
  for (let exchange = abandoned.pop(); exchange !== undefined; exchange = abandoned.pop()) {
    // What there was to interrupt died with the request.
    exchange.interrupt = null;
    exchange.abort(new MeshError("ERR_DOWNSTREAM_CLOSED", "The caller went away"));
    exchange.finish();
  }
}

/** The caller's end of an exchange. Only the caller's promises and streams may refer to it: see `garbage`. */
class Call implements UnderlyingDefaultSource<Uint8Array> {
  readonly #exchange: Exchange;
  readonly #request: PlatformRequest;
  readonly #aborted: () => void;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;

  constructor(exchange: Exchange, request: PlatformRequest) {
    this.#exchange = exchange;
    this.#request = request;
    this.#aborted = abortedBy(request.signal, exchange);
    request.signal.addEventListener("abort", this.#aborted, { once: true });
    garbage?.register(this, exchange, this);
  }

  /** Nothing of the exchange is left to do. */
  end(): void {
    this.#request.signal.removeEventListener("abort", this.#aborted);
    garbage?.unregister(this);
    this.#request.source?.cancel(this.#exchange.aborted);
    this.#exchange.finish();
  }

  /** The reply as the caller gets it. The exchange is over when its body is: load and breakers count until then. */
  reply(response: Response): Response {
    const { body, status, statusText } = response;
    // Only the platform can make a 101, and only it can end one.
    if (status < 200) {
      this.end();
      return response;
    }
    const headers = new Headers(response.headers);
    this.#exchange.responseEdits.applyTo(headers);
    if (body === null || status === 204 || status === 205 || status === 304) {
      this.end();
      return new Response(null, { status, statusText, headers });
    }
    this.#reader = body.getReader();
    const watched = new ReadableStream(this, new ByteLengthQueuingStrategy({ highWaterMark: readAheadBytes }));
    return new Response(watched as ReadableStream<Uint8Array<ArrayBuffer>>, { status, statusText, headers });
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      const { done, value } = await this.#reader!.read();
      if (done) {
        this.end();
        controller.close();
      } else {
        this.#exchange.bytesSent += value.length;
        controller.enqueue(value);
      }
    } catch (reason) {
      controller.error(this.#failed(reason));
    }
  }

  cancel(reason: unknown): Promise<void> {
    this.end();
    return this.#reader!.cancel(reason);
  }

  /** The body broke off. Returns what its reader is told. */
  #failed(cause: unknown): unknown {
    const { signal } = this.#request;
    const exchange = this.#exchange;
    if (exchange.aborted === null)
      exchange.error = new MeshError("ERR_UPSTREAM_RESET", "The response broke off", { sent: "body", cause });
    this.end();
    return signal.aborted ? signal.reason : (exchange.aborted ?? exchange.error);
  }
}

/** Made out here, as a listener that knew the call would keep it alive. */
function abortedBy(signal: AbortSignal, exchange: Exchange): () => void {
  return () => exchange.abort(new MeshError("ERR_DOWNSTREAM_CLOSED", "The caller aborted", { cause: signal.reason }));
}
