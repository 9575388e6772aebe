/**
 * One HTTP/1.1 connection from downstream: reads requests strictly, hands them over one at a time, and never lets a later
 * one be answered before an earlier one, by not looking at it before.
 */
import { MeshError } from "../errors.ts";
import type { ByteSocket, SocketHandler } from "../runtime/contract.ts";
import { BodyReader } from "./body-reader.ts";
import { CHUNKED } from "./framing.ts";
import { HeadParser } from "./head-parser.ts";
import { emptyBody, IncomingBody, WholeBody, type BodyOwner } from "./incoming-body.ts";
import { joinBytes } from "./latin1.ts";
import type { BodySource } from "./message.ts";
import { RequestLines } from "./request-head.ts";
import { RequestMessage, type InterimSink } from "./request.ts";
import type { ResponseMessage } from "./response.ts";
import type { ServerConnection, ServerConnectionOptions } from "./server-options.ts";
import { Splice, type SpliceOwner } from "./splice.ts";
import type { Expiring } from "./sweeper.ts";
import { Turn, type TurnOwner } from "./turn.ts";

/**
 * A FIN may be a half-close by somebody who waits for the reply: it gets this long before we take the caller for gone. Not over
 * TLS: where the runtime cannot reset, a peer that gives up can say so only by an end, and graces would add up along a chain.
 */
const HALF_CLOSE_GRACE_MS = 100;
/** After a last reply, unread request bytes are swallowed this long: closing on them would reset the reply away (RFC 9112 §9.6). */
const LINGER_MS = 2_000;

/** Serves HTTP/1.1 on a socket until either side has enough. */
export function serveConnection(socket: ByteSocket, options: ServerConnectionOptions): ServerConnection {
  return new Downstream(socket, options).handle;
}

/** The owner's side of a connection; apart from it because `drain` means another thing to a socket. */
class Handle implements ServerConnection {
  readonly #connection: Downstream;

  constructor(connection: Downstream) {
    this.#connection = connection;
  }

  get isIdle(): boolean {
    return this.#connection.isIdle;
  }

  drain(): void {
    this.#connection.finishUp();
  }

  destroy(reason: MeshError): void {
    this.#connection.destroy(reason);
  }
}

class Downstream implements SocketHandler, BodyOwner, TurnOwner, SpliceOwner, InterimSink, Expiring {
  readonly socket: ByteSocket;
  readonly options: ServerConnectionOptions;
  readonly handle: ServerConnection = new Handle(this);
  deadlineMs: number;
  readonly #parser: HeadParser;
  #reader: BodyReader | null = null;
  #body: IncomingBody | null = null;
  #turn: Turn | null = null;
  #splice: Splice | null = null;
  /** What arrived behind the request being answered. */
  #ahead: Uint8Array | null = null;
  #isReading = false;
  #isPaused = false;
  /** No further request is read; the connection closes behind the present reply. */
  #isClosing = false;
  /** Our last byte is written; what still comes is swallowed. */
  #isLingering = false;
  #hasEnded = false;
  #isClosed = false;
  #owesContinue = false;

  constructor(socket: ByteSocket, options: ServerConnectionOptions) {
    this.socket = socket;
    this.options = options;
    this.#parser = new HeadParser("request", options.limits);
    this.deadlineMs = options.clock.nowMs() + options.limits.idleTimeoutMs;
    options.sweeper.add(this);
    socket.attach(this);
  }

  get isIdle(): boolean {
    return this.#turn === null && this.#splice === null && !this.#parser.isMidHead;
  }

  finishUp(): void {
    this.#isClosing = true;
    if (this.isIdle && !this.#isLingering) this.#finishWriting();
  }

  destroy(reason: MeshError): void {
    this.#turn?.abort(reason);
    this.#splice?.clientClosed(reason);
    this.socket.destroy(reason);
  }

  // The socket.

  data(chunk: Uint8Array): void {
    if (this.#isLingering || this.#isClosed) return;
    if (this.#splice !== null) this.#splice.fromClient(chunk);
    else if (this.#ahead !== null) this.#holdBack(chunk);
    else this.#read(chunk);
  }

  drain(): void {
    if (this.#splice !== null) this.#splice.clientDrained();
    else if (this.#turn !== null) this.#turn.drained();
    else if (!this.#isLingering) this.#readAhead();
  }

  end(): void {
    this.#hasEnded = true;
    if (this.#splice !== null) this.#splice.clientEnded();
    else if (this.#turn === null || this.#reader !== null) {
      // Between requests it is a goodbye; inside one it is an abort, as what is missing will never come.
      if (this.#turn !== null) this.destroy(gone());
      else this.#finishWriting();
    } else if (this.socket.encrypted) this.#missed();
    else this.options.clock.after(HALF_CLOSE_GRACE_MS, () => this.#missed());
  }

  /** The grace of a half-close is over. */
  #missed(): void {
    if (this.#turn !== null && this.#splice === null) this.destroy(gone());
  }

  close(error?: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.options.sweeper.delete(this);
    const reason = error instanceof MeshError ? error : gone(error);
    this.#body?.fail(reason);
    this.#turn?.abort(reason);
    this.#splice?.clientClosed(reason);
    this.#turn = this.#splice = this.#body = this.#reader = null;
    this.options.closed?.(this.handle);
  }

  // Reading.

  #read(chunk: Uint8Array): void {
    this.#isReading = true;
    let at = 0;
    while (at < chunk.length && !this.#isLingering && !this.#isClosed) {
      if (this.#reader !== null) at = this.#readBody(chunk, at);
      else if (this.#turn !== null || this.#isBackedUp()) {
        this.#holdBack(at === 0 ? chunk : chunk.subarray(at));
        break;
      } else if (this.#isClosing) break;
      else at = this.#readHead(chunk, at);
    }
    this.#isReading = false;
  }

  #readHead(chunk: Uint8Array, at: number): number {
    const { limits, sweeper } = this.options;
    const wasMidHead = this.#parser.isMidHead;
    try {
      const next = this.#parser.feed(chunk, at);
      if (next < 0) {
        // Counted from the first byte, not from the last: a head must not be fed for ever.
        if (!wasMidHead) this.deadlineMs = sweeper.nowMs + limits.headerTimeoutMs;
        return chunk.length;
      }
      at = this.#begin(new RequestLines(this.#parser.head!), chunk, next);
    } catch (error) {
      this.#refuse(MeshError.from(error));
      return chunk.length;
    }
    this.#turn!.start();
    return at;
  }

  /** A head is complete: makes it a request, with what of its body is here. */
  #begin(head: RequestLines, chunk: Uint8Array, at: number): number {
    const { limits, maxBodyBytes = Infinity, scheme = "http" } = this.options;
    const length = head.bodyLength;
    if (length > maxBodyBytes)
      throw new MeshError("ERR_REQUEST_TOO_LARGE", `The body is longer than ${maxBodyBytes} bytes`);
    let source: BodySource = emptyBody;
    let next = at;
    let received = 0;
    if (length > 0 && chunk.length - at >= length) {
      next = at + length;
      received = length;
      source = new WholeBody(chunk.slice(at, next), null);
    } else if (length !== 0) {
      const reader = new BodyReader(length, limits.maxHeaderBytes);
      if (at < chunk.length) next = reader.feed(chunk, at);
      received = reader.bytesRead;
      if (received > maxBodyBytes)
        throw new MeshError("ERR_REQUEST_TOO_LARGE", `The body is longer than ${maxBodyBytes} bytes`);
      if (reader.isComplete) source = new WholeBody(reader.data.slice(), reader.trailers);
      else {
        const body = new IncomingBody(this, length === CHUNKED ? null : length, limits.highWaterBytes);
        if (at < chunk.length) body.push(reader.data);
        this.#reader = reader;
        this.#body = source = body;
        // What has begun to arrive needs no invitation.
        this.#owesContinue = head.expectsContinue && received === 0;
      }
    }
    if (head.connection.closes || head.minorVersion === 0) this.#isClosing = true;
    // While the reply is made, its own deadlines watch it; ours would only know that no byte moves.
    this.deadlineMs = this.#reader === null ? Infinity : this.options.sweeper.nowMs + limits.streamIdleTimeoutMs;
    this.#turn = new Turn(this, new RequestMessage(head, source, scheme, this), received);
    return next;
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const reader = this.#reader!;
    const body = this.#body!;
    const { limits, maxBodyBytes = Infinity, sweeper } = this.options;
    try {
      const before = reader.bytesRead;
      const next = reader.feed(chunk, at);
      this.#turn?.bodyArrived(reader.bytesRead - before);
      if (reader.bytesRead > maxBodyBytes)
        throw new MeshError("ERR_REQUEST_TOO_LARGE", `The body is longer than ${maxBodyBytes} bytes`);
      this.deadlineMs = sweeper.nowMs + limits.streamIdleTimeoutMs;
      body.push(reader.data);
      if (reader.isComplete) {
        this.#reader = this.#body = null;
        if (this.#turn !== null && this.#turn.isWaiting) this.deadlineMs = Infinity;
        body.finish(reader.trailers);
      }
      return next;
    } catch (error) {
      // What follows broken framing is nobody's message. The reply to this one may still be said, then it is over.
      const reason = MeshError.from(error);
      this.#reader = this.#body = null;
      this.#isClosing = true;
      const turn = this.#turn;
      if (turn !== null && !turn.isWaiting) this.destroy(reason);
      else turn?.failRequest(reason);
      body.fail(reason);
      return chunk.length;
    }
  }

  #holdBack(chunk: Uint8Array): void {
    const held = this.#ahead;
    this.#ahead = held === null ? chunk.slice() : joinBytes([held, chunk], held.length + chunk.length);
    if (this.#ahead.length >= this.options.limits.highWaterBytes) this.#pause();
  }

  /** The client sends requests and does not read replies: it gets no further ones. */
  #isBackedUp(): boolean {
    return this.socket.bufferedBytes > this.options.limits.highWaterBytes;
  }

  #readAhead(): void {
    const ahead = this.#ahead;
    if (ahead === null || this.#isBackedUp()) return;
    this.#ahead = null;
    this.#resume();
    this.#read(ahead);
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.socket.pause();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.socket.resume();
  }

  // The request's body.

  bodyWanted(): void {
    if (!this.#owesContinue) return;
    this.#owesContinue = false;
    if (this.#turn?.isWaiting) this.socket.write("HTTP/1.1 100 Continue\r\n\r\n");
  }

  holdBody(): void {
    this.#pause();
  }

  continueBody(): void {
    this.#resume();
  }

  bodyCancelled(): void {
    // Read on and drop it: the client may be unable to read our reply before it has sent all.
    this.#resume();
  }

  // The turn.

  closesAfter(): boolean {
    // A body nobody takes is never waited for: the next request would stand behind all of it.
    if (this.#body !== null && !this.#body.isWanted) this.#isClosing = true;
    return this.#isClosing;
  }

  turnMoved(): void {
    this.deadlineMs = this.options.sweeper.nowMs + this.options.limits.streamIdleTimeoutMs;
  }

  turnOver(): void {
    this.#turn = null;
    this.#owesContinue = false;
    if (this.#reader !== null || this.#isClosing) {
      this.#finishWriting();
      return;
    }
    this.deadlineMs = this.options.sweeper.nowMs + this.options.limits.idleTimeoutMs;
    if (this.#ahead === null) {
      if (this.#hasEnded) this.#finishWriting();
    } else if (!this.#isReading) this.#readAhead();
  }

  turnBroken(turn: Turn, reason: MeshError): void {
    turn.abort(reason);
    this.socket.destroy(reason);
  }

  turnTunnels(_turn: Turn, response: ResponseMessage): void {
    const ahead = this.#ahead;
    this.#ahead = null;
    this.#splice = new Splice(this.socket, response.tunnel!, this);
    this.turnMoved();
    this.#splice.start(ahead);
    if (ahead !== null) this.#resume();
    if (this.#hasEnded) this.#splice?.clientEnded();
  }

  interim(status: number, reason: string, lines: string): void {
    const turn = this.#turn;
    if (turn === null || !turn.isWaiting || turn.request!.head.minorVersion === 0) return;
    this.socket.write(`HTTP/1.1 ${status} ${reason}\r\n${lines}\r\n`);
  }

  spliced(up: number, down: number): void {
    this.#turn?.bodyArrived(up);
    this.#turn?.bodyMoved(down);
  }

  spliceOver(): void {
    this.#splice = null;
    this.#turn?.bodyWritten();
  }

  // The end.

  expired(nowMs: number): void {
    if (this.#isLingering || (this.#turn === null && !this.#parser.isMidHead)) {
      this.socket.destroy();
    } else if (this.#turn === null) {
      this.#refuse(
        new MeshError(
          "ERR_REQUEST_TIMEOUT",
          `The request head took longer than ${this.options.limits.headerTimeoutMs} ms`,
        ),
      );
    } else {
      this.destroy(new MeshError("ERR_STREAM_IDLE", `No byte moved for ${this.options.limits.streamIdleTimeoutMs} ms`));
    }
    // Should the socket not close at once, we look again, but not on every tick.
    this.deadlineMs = nowMs + LINGER_MS;
  }

  #refuse(error: MeshError): void {
    this.#isClosing = true;
    this.#reader = this.#body = null;
    this.#turn = new Turn(this, null, 0);
    this.#turn.respond(this.options.refuse(error));
  }

  #finishWriting(): void {
    this.#isLingering = true;
    this.#ahead = null;
    this.#body?.cancel(gone());
    this.#body = this.#reader = null;
    this.deadlineMs = this.options.sweeper.nowMs + LINGER_MS;
    this.socket.end();
    this.#resume();
  }
}

function gone(cause?: Error): MeshError {
  return new MeshError("ERR_DOWNSTREAM_CLOSED", "The caller closed the connection", { cause });
}
