/** The reading half of a server connection: cuts requests out of its bytes, strictly, one at a time. */
import { MeshError } from "../errors.ts";
import { BodyReader } from "./body-reader.ts";
import { CHUNKED } from "./framing.ts";
import { HeadParser } from "./head-parser.ts";
import { emptyBody, IncomingBody, WholeBody, type BodyOwner } from "./incoming-body.ts";
import type { BodySource } from "./message.ts";
import { RequestLines } from "./request-head.ts";
import { RequestMessage, type InterimSink } from "./request.ts";
import type { ServerConnectionOptions } from "./server-options.ts";

export interface RequestReaderOwner extends BodyOwner, InterimSink {
  /** The first bytes of a head are here, the last are not: its time runs. */
  headBegan(): void;
  /** A request is complete enough to be handled. @param bodyBytes of its body here already */
  requestArrived(request: RequestMessage, bodyBytes: number): void;
  /** It never became a request. What follows cannot be understood. */
  headRefused(error: MeshError): void;
  bodyArrived(bytes: number): void;
  /** The whole request is here. Called before its taker hears of it, unless it arrived with its head. */
  bodyCompleted(): void;
  /** Its framing broke in the middle. What follows cannot be understood. */
  bodyRefused(error: MeshError): void;
}

export class RequestReader {
  readonly #options: ServerConnectionOptions;
  readonly #owner: RequestReaderOwner;
  readonly #parser: HeadParser;
  #reader: BodyReader | null = null;
  #body: IncomingBody | null = null;
  /** Results of `#begin`, beside the body. */
  #next = 0;
  #received = 0;

  constructor(options: ServerConnectionOptions, owner: RequestReaderOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#parser = new HeadParser("request", options.limits);
  }

  get isMidHead(): boolean {
    return this.#parser.isMidHead;
  }

  /** True while the body of a request is still coming. */
  get isMidBody(): boolean {
    return this.#reader !== null;
  }

  /** The body still coming, if it is; whether anybody takes it, it knows itself. */
  get body(): IncomingBody | null {
    return this.#body;
  }

  /** Reads on at `chunk[at]`: one head, or a run of a body. Returns where to read on. */
  read(chunk: Uint8Array, at: number): number {
    return this.#reader === null ? this.#readHead(chunk, at) : this.#readBody(chunk, at, this.#reader, this.#body!);
  }

  /** Nobody reads any more: the taker of a body under way hears that it is truncated. */
  stop(reason: MeshError): void {
    const body = this.#body;
    this.#reader = this.#body = null;
    body?.fail(reason);
  }

  #readHead(chunk: Uint8Array, at: number): number {
    const wasMidHead = this.#parser.isMidHead;
    let message: RequestMessage;
    try {
      const next = this.#parser.feed(chunk, at);
      if (next < 0) {
        // Counted from the first byte, not from the last: a head must not be fed for ever.
        if (!wasMidHead) this.#owner.headBegan();
        return chunk.length;
      }
      const head = new RequestLines(this.#parser.head!);
      const source = this.#begin(head.bodyLength, chunk, next);
      message = new RequestMessage(head, source, this.#options.scheme ?? "http", this.#owner);
    } catch (error) {
      this.#owner.headRefused(MeshError.from(error));
      return chunk.length;
    }
    // Read before the request is handed over: its handling may come back here.
    const next = this.#next;
    this.#owner.requestArrived(message, this.#received);
    return next;
  }

  /** The body behind a head, as far as it is here: from `chunk[at]` to `#next`. */
  #begin(length: number, chunk: Uint8Array, at: number): BodySource {
    this.#checkLength(length);
    this.#next = at;
    this.#received = 0;
    if (length === 0) return emptyBody;
    if (length > 0 && chunk.length - at >= length) {
      this.#next = at + length;
      this.#received = length;
      return new WholeBody(chunk.slice(at, this.#next), null);
    }
    const { limits } = this.#options;
    const reader = new BodyReader(length, limits.maxHeaderBytes);
    if (at < chunk.length) this.#next = reader.feed(chunk, at);
    this.#received = reader.bytesRead;
    this.#checkLength(reader.bytesRead);
    if (reader.isComplete) return new WholeBody(reader.data.slice(), reader.trailers);
    const body = new IncomingBody(this.#owner, length === CHUNKED ? null : length, limits.highWaterBytes);
    if (at < chunk.length) body.push(reader.data);
    this.#reader = reader;
    this.#body = body;
    return body;
  }

  #readBody(chunk: Uint8Array, at: number, reader: BodyReader, body: IncomingBody): number {
    try {
      const before = reader.bytesRead;
      const next = reader.feed(chunk, at);
      this.#owner.bodyArrived(reader.bytesRead - before);
      this.#checkLength(reader.bytesRead);
      body.push(reader.data);
      if (reader.isComplete && this.#reader === reader) {
        this.#reader = this.#body = null;
        this.#owner.bodyCompleted();
        body.finish(reader.trailers);
      }
      return next;
    } catch (error) {
      const reason = MeshError.from(error);
      this.#reader = this.#body = null;
      this.#owner.bodyRefused(reason);
      body.fail(reason);
      return chunk.length;
    }
  }

  #checkLength(length: number): void {
    const { maxBodyBytes = Infinity } = this.#options;
    if (length > maxBodyBytes) {
      throw new MeshError("ERR_REQUEST_TOO_LARGE", `The body is longer than ${maxBodyBytes} bytes`);
    }
  }
}
