/** The reading half of a client connection: cuts responses out of its bytes, interim ones included. */
import { BodyReader } from "./body-reader.ts";
import { UNTIL_CLOSE } from "./framing.ts";
import { HeadParser } from "./head-parser.ts";
import { emptyBody, IncomingBody, WholeBody, type BodyOwner } from "./incoming-body.ts";
import type { BodySource, WireLimits } from "./message.ts";
import { ResponseLines } from "./response-head.ts";

export interface ResponseReaderOwner extends BodyOwner {
  interim(head: ResponseLines): void;
  /** 101. @param early bytes behind the head: not HTTP any more */
  switched(head: ResponseLines, early: Uint8Array): void;
  /**
   * The response head is here. With `isComplete` nothing of its body is still to come.
   *
   * @param isExact false: bytes follow that belong to no response
   */
  answered(head: ResponseLines, source: BodySource, isComplete: boolean, isExact: boolean): void;
  responseMoved(): void;
  /** The last byte of a body that was still coming. `body` has not told its taker yet. */
  bodyCompleted(body: IncomingBody, trailers: readonly string[] | null, isExact: boolean): void;
}

export class ResponseReader {
  readonly #limits: WireLimits;
  readonly #owner: ResponseReaderOwner;
  readonly #parser: HeadParser;
  #reader: BodyReader | null = null;
  #body: IncomingBody | null = null;

  constructor(limits: WireLimits, owner: ResponseReaderOwner) {
    this.#limits = limits;
    this.#owner = owner;
    this.#parser = new HeadParser("response", limits);
  }

  get isMidHead(): boolean {
    return this.#parser.isMidHead;
  }

  get isMidBody(): boolean {
    return this.#reader !== null;
  }

  /**
   * Reads on at `chunk[at]`: one head, or a run of a body. Returns where to read on.
   *
   * @throws {MeshError} the bytes are no response
   */
  read(chunk: Uint8Array, at: number, isReplyToHead: boolean): number {
    return this.#reader === null
      ? this.#readHead(chunk, at, isReplyToHead)
      : this.#readBody(chunk, at, this.#reader, this.#body!);
  }

  /** The server finished sending: true if that completed a body which ends so. */
  finish(): boolean {
    const body = this.#body;
    if (this.#reader === null || body === null || this.#reader.close() !== null) return false;
    this.#reader = this.#body = null;
    this.#owner.bodyCompleted(body, null, true);
    return true;
  }

  /** Forgets a response under way and returns its body, whose taker must hear that it is truncated. */
  stop(): IncomingBody | null {
    const body = this.#body;
    this.#reader = this.#body = null;
    return body;
  }

  #readHead(chunk: Uint8Array, at: number, isReplyToHead: boolean): number {
    const next = this.#parser.feed(chunk, at);
    if (next < 0) return chunk.length;
    const head = new ResponseLines(this.#parser.head!, isReplyToHead);
    const { length } = chunk;
    if (head.status === 101) {
      this.#owner.switched(head, chunk.slice(next));
      return length;
    }
    if (head.status < 200) {
      this.#owner.interim(head);
      return next;
    }
    const bodyLength = head.bodyLength;
    if (bodyLength === 0) {
      this.#owner.answered(head, emptyBody, true, next === length);
      return next;
    }
    if (bodyLength > 0 && length - next >= bodyLength) {
      const end = next + bodyLength;
      this.#owner.answered(head, new WholeBody(chunk.slice(next, end), null), true, end === length);
      return end;
    }
    const reader = new BodyReader(bodyLength, this.#limits.maxHeaderBytes);
    const after = next < length ? reader.feed(chunk, next) : next;
    if (reader.isComplete) {
      const whole = new WholeBody(reader.data.slice(), reader.trailers);
      this.#owner.answered(head, whole, true, after === length);
      return after;
    }
    const body = new IncomingBody(this.#owner, bodyLength > 0 ? bodyLength : null, this.#limits.highWaterBytes);
    this.#reader = reader;
    this.#body = body;
    if (next < length) body.push(reader.data);
    this.#owner.answered(head, body, false, bodyLength !== UNTIL_CLOSE);
    return after;
  }

  #readBody(chunk: Uint8Array, at: number, reader: BodyReader, body: IncomingBody): number {
    const next = reader.feed(chunk, at);
    this.#owner.responseMoved();
    body.push(reader.data);
    if (reader.isComplete && this.#reader === reader) {
      this.#reader = this.#body = null;
      this.#owner.bodyCompleted(body, reader.trailers, next === chunk.length);
    }
    return next;
  }
}
