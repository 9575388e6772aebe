/** A response that arrived, as a standard `Response` for whoever wants one. Forwarding it materialises nothing. */
import type { HeaderEdits } from "../headers.ts";
import { OTHER } from "./fields.ts";
import { LazyBody } from "./lazy-body.ts";
import type { BodySource, Tunnel, WireResponse } from "./message.ts";
import { isBodiless, type ResponseLines } from "./response-head.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export class ResponseMessage implements WireResponse {
  readonly head: ResponseLines;
  readonly source: BodySource;
  readonly tunnel: Tunnel | null;
  readonly url: string;
  readonly #body: LazyBody;
  #headers: Headers | null = null;

  constructor(head: ResponseLines, source: BodySource, tunnel: Tunnel | null, url: string) {
    this.head = head;
    this.source = source;
    this.tunnel = tunnel;
    this.url = url;
    this.#body = new LazyBody(source, isBodiless(head.status));
  }

  header(name: string): string | null {
    return this.head.get(name);
  }

  rawHeaders(edits: HeaderEdits): string {
    return this.head.forwarded(edits, OTHER - 1);
  }

  /** True if the body was handed out as a stream: `source` must not be piped any more. */
  get isStreamed(): boolean {
    return this.#body.isStreamed;
  }

  get status(): number {
    return this.head.status;
  }

  get statusText(): string {
    return this.head.reason;
  }

  get ok(): boolean {
    return this.head.status >= 200 && this.head.status < 300;
  }

  get headers(): Headers {
    return (this.#headers ??= this.head.toHeaders());
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

  /** A platform `Response` with the same content. The body is read at the pace of the slower of the two. */
  clone(): Response {
    return new Response(this.#body.tee(), { status: this.status, statusText: this.statusText, headers: this.headers });
  }

  #take(): Response {
    return this.#body.take(this.head.get("content-type"));
  }

  declare readonly redirected: boolean;
  declare readonly type: ResponseType;
}

Object.assign(ResponseMessage.prototype, { redirected: false, type: "default" });

// See request.ts: `instanceof Response` holds, and no platform getter ever sees this object.
Object.setPrototypeOf(ResponseMessage.prototype, Response.prototype);
