/** A small `fetch` over our own wire, for the mesh's own clients: believes the roots it is given and nothing else. */
import { systemClock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { ConnectOptions, SocketTransport } from "../runtime/contract.ts";
import type { ClientConnection, ClientListener, ClientRequest } from "../wire/client-connection.ts";
import { emptyBody, WholeBody } from "../wire/incoming-body.ts";
import { wireDefaults, type BodySource } from "../wire/message.ts";
import { isIdempotent } from "../wire/methods.ts";
import { ConnectionPool, type ConnectionWaiter } from "../wire/pool.ts";
import type { Dial } from "../wire/pool-options.ts";
import type { ResponseMessage } from "../wire/response.ts";
import { noEdits, platformRequestHead } from "../wire/serialize.ts";
import { Sweeper } from "../wire/sweeper.ts";
import type { WireFetch, WireFetchOptions } from "./wire-options.ts";

/**
 * Makes a `fetch` whose connections are its own. Responses stream (server-sent events included); no redirect is followed.
 *
 * @throws {MeshError} ERR_OPTION_INVALID for an https URL without `tls`: there would be nobody to believe
 */
export function wireFetch(transport: SocketTransport, options: WireFetchOptions = {}): WireFetch {
  const { clock = systemClock, limits = wireDefaults, connectTimeoutMs = 2_000, tls } = options;
  const pool = new ConnectionPool({ transport, limits, clock, sweeper: new Sweeper(clock) });
  const dials = new Map<string, Dial>();

  const dialOf = (url: URL): Dial => {
    let dial = dials.get(url.origin);
    if (dial !== undefined) return dial;
    const connect = connectOptions(url, connectTimeoutMs);
    if (url.protocol === "https:") {
      if (tls === undefined)
        throw new MeshError("ERR_OPTION_INVALID", `${url.origin} needs "tls": roots to believe in`);
      dial = { key: url.origin, connect: { ...connect, tls: { serverName: connect.host!, ...tls } } };
    } else dial = { key: url.origin, connect };
    dials.set(url.origin, dial);
    return dial;
  };

  const fetchOverWire = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const dial = dialOf(url);
    const body = await bodyOf(request);
    const outgoing: ClientRequest = {
      head: headOf(request, url, body),
      body,
      isHead: request.method === "HEAD",
      upgrade: null,
      url: request.url,
    };
    return new Promise((resolve, reject) => new FetchAttempt(pool, dial, outgoing, request, resolve, reject).start());
  };
  return Object.assign(fetchOverWire, { close: () => pool.close() });
}

function connectOptions(url: URL, timeoutMs: number): ConnectOptions {
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new MeshError("ERR_OPTION_INVALID", `"${url.protocol}" is neither http nor https`);
  const host = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  return { host, port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port), timeoutMs };
}

/** Bodies are read before they are sent: our clients send documents, and what is whole may be sent again. */
async function bodyOf(request: Request): Promise<BodySource> {
  return request.body === null ? emptyBody : new WholeBody(new Uint8Array(await request.arrayBuffer()), null);
}

function headOf(request: Request, url: URL, body: BodySource): string {
  return platformRequestHead(request, url.host, {
    target: url.pathname + url.search,
    authority: null,
    edits: noEdits,
    bodyLength: body.whole === null ? body.length : body.whole.length,
    hops: 0,
  });
}

class FetchAttempt implements ConnectionWaiter, ClientListener {
  readonly #pool: ConnectionPool;
  readonly #dial: Dial;
  readonly #outgoing: ClientRequest;
  readonly #method: string;
  readonly #signal: AbortSignal;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: unknown) => void;
  #connection: ClientConnection | null = null;
  #isReused = false;
  #isOver = false;

  constructor(
    pool: ConnectionPool,
    dial: Dial,
    outgoing: ClientRequest,
    request: Request,
    resolve: (response: Response) => void,
    reject: (error: unknown) => void,
  ) {
    this.#pool = pool;
    this.#dial = dial;
    this.#outgoing = outgoing;
    this.#method = request.method;
    this.#signal = request.signal;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    if (this.#signal.aborted) this.#fail(this.#signal.reason);
    else {
      this.#signal.addEventListener("abort", this.#aborted, { once: true });
      this.#pool.acquire(this.#dial, this);
    }
  }

  readonly #aborted = (): void => {
    // What the caller gave as its reason is what it gets back, as `fetch` does.
    const { reason } = this.#signal;
    this.#fail(reason);
    if (this.#connection === null) this.#pool.forget(this.#dial, this);
    else this.#connection.abort(new MeshError("ERR_DOWNSTREAM_CLOSED", "The request was aborted", { cause: reason }));
  };

  connected(connection: ClientConnection, isReused: boolean): void {
    this.#connection = connection;
    this.#isReused = isReused;
    connection.send(this.#outgoing, this);
  }

  refused(error: MeshError): void {
    this.#fail(error);
  }

  interim(): void {}

  responded(response: ResponseMessage): void {
    this.#isOver = true;
    this.#resolve(response);
  }

  failed(error: MeshError): void {
    const isStale = this.#isReused && error.code === "ERR_UPSTREAM_RESET" && !this.#connection!.hasAnswered;
    if (!this.#isOver && isStale && this.#outgoing.body.whole !== null && isIdempotent(this.#method)) {
      this.#connection = null;
      this.#pool.acquireFresh(this.#dial, this);
    } else this.#fail(error);
  }

  settled(): void {
    this.#signal.removeEventListener("abort", this.#aborted);
  }

  #fail(error: unknown): void {
    this.settled();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reject(error);
  }
}
