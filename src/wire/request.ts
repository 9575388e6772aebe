/**
 * A request that arrived, as a standard `Request` for whoever wants one. Forwarding it reads `head` and `source` only; every
 * getter below builds what it returns on first use.
 */
import type { MeshError } from "../errors.ts";
import type { HeaderEdits } from "../headers.ts";
import { LazyBody } from "./lazy-body.ts";
import type { BodySource, WireRequest } from "./message.ts";
import type { RequestLines } from "./request-head.ts";

/** Where interim responses (103) go on their way back. */
export interface InterimSink {
  interim(status: number, reason: string, lines: string): void;
}

type Bytes = Uint8Array<ArrayBuffer>;

export class RequestMessage implements WireRequest {
  readonly head: RequestLines;
  readonly source: BodySource;
  /** The client's connection, for interim responses; null where there is none (tests). */
  readonly interimSink: InterimSink | null;
  readonly #scheme: string;
  readonly #body: LazyBody;
  #headers: Headers | null = null;
  #abort: AbortController | null = null;
  #aborted: MeshError | null = null;

  constructor(head: RequestLines, source: BodySource, scheme: string, interimSink: InterimSink | null) {
    this.head = head;
    this.source = source;
    this.#scheme = scheme;
    this.interimSink = interimSink;
    // A platform Request with GET or HEAD has no body property to read, but the bytes are forwarded all the same.
    this.#body = new LazyBody(source, head.bodyLength === 0);
  }

  rawHeaders(edits: HeaderEdits): string {
    return this.head.forwarded(edits, true);
  }

  /** True if the body was handed out as a stream: `source` must not be piped any more. */
  get isStreamed(): boolean {
    return this.#body.isStreamed;
  }

  /** The client is gone: `signal` says so to those who asked for it. */
  abort(reason: MeshError): void {
    this.#aborted ??= reason;
    this.#abort?.abort(this.#aborted);
  }

  get method(): string {
    return this.head.method;
  }

  get url(): string {
    // An HTTP/1.0 client need not say whom it asks.
    const authority = this.head.authority === "" ? "localhost" : this.head.authority;
    return `${this.#scheme}://${authority}${this.head.target === "*" ? "/" : this.head.target}`;
  }

  get headers(): Headers {
    return (this.#headers ??= this.head.toHeaders());
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#aborted !== null) this.#abort.abort(this.#aborted);
    }
    return this.#abort.signal;
  }

  get body(): ReadableStream<Bytes> | null {
    return this.#body.stream;
  }

  get bodyUsed(): boolean {
    return this.#body.isUsed;
  }

  async text(): Promise<string> {
    return this.#take().text();
  }

  async json(): Promise<unknown> {
    return this.#take().json();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#take().arrayBuffer();
  }

  async bytes(): Promise<Bytes> {
    return new Uint8Array(await this.#take().arrayBuffer());
  }

  async blob(): Promise<Blob> {
    return this.#take().blob();
  }

  async formData(): Promise<FormData> {
    return this.#take().formData();
  }

  /** A platform `Request` with the same content. The body is read at the pace of the slower of the two. */
  clone(): Request {
    const { method } = this;
    const body = method === "GET" || method === "HEAD" ? null : this.#body.tee();
    const init: RequestInit & { duplex?: "half" } = {
      method,
      headers: this.headers,
      signal: this.signal,
      redirect: "manual",
    };
    if (body !== null) {
      init.body = body;
      init.duplex = "half";
    }
    return new Request(this.url, init);
  }

  #take(): Response {
    return this.#body.take(this.head.get("content-type"));
  }

  declare readonly cache: RequestCache;
  declare readonly credentials: RequestCredentials;
  declare readonly destination: RequestDestination;
  declare readonly duplex: "half";
  declare readonly integrity: string;
  declare readonly isHistoryNavigation: boolean;
  declare readonly keepalive: boolean;
  declare readonly mode: RequestMode;
  declare readonly redirect: RequestRedirect;
  declare readonly referrer: string;
  declare readonly referrerPolicy: ReferrerPolicy;
}

// What a browser would know and a server does not; values as the fetch standard has them for a plain request. On the
// prototype: they are the same for all, and a request should stay small.
Object.assign(RequestMessage.prototype, {
  cache: "default",
  credentials: "same-origin",
  destination: "",
  duplex: "half",
  integrity: "",
  isHistoryNavigation: false,
  keepalive: false,
  mode: "cors",
  redirect: "manual",
  referrer: "about:client",
  referrerPolicy: "",
});

// `instanceof Request` is how routers and middleware tell requests apart; every member above is our own, so no platform
// getter ever sees this object.
Object.setPrototypeOf(RequestMessage.prototype, Request.prototype);
