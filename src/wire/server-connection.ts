/**
 * One HTTP/1.1 connection from downstream: reads requests strictly, hands them over one at a time, and never lets a later
 * one be answered before an earlier one, by not looking at it before.
 */
import { MeshError } from "../errors.ts";
import type { ByteSocket, SocketHandler } from "../runtime/contract.ts";
import { joinBytes } from "./latin1.ts";
import { RequestReader, type RequestReaderOwner } from "./request-reader.ts";
import type { RequestMessage } from "./request.ts";
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

class Downstream implements SocketHandler, RequestReaderOwner, TurnOwner, SpliceOwner, Expiring {
  readonly socket: ByteSocket;
  readonly options: ServerConnectionOptions;
  readonly handle: ServerConnection = new Handle(this);
  deadlineMs: number;
  readonly #reader: RequestReader;
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
  #lingersUntilMs = 0;
  #hasEnded = false;
  #isClosed = false;
  #owesContinue = false;

  constructor(socket: ByteSocket, options: ServerConnectionOptions) {
    this.socket = socket;
    this.options = options;
    this.#reader = new RequestReader(options, this);
    this.deadlineMs = options.clock.nowMs() + options.limits.idleTimeoutMs;
    options.sweeper.add(this);
    socket.attach(this);
  }

  get isIdle(): boolean {
    return this.#turn === null && this.#splice === null && !this.#reader.isMidHead;
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
    else if (this.#turn === null || this.#reader.isMidBody) {
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
    this.#reader.stop(reason);
    this.#turn?.abort(reason);
    this.#splice?.clientClosed(reason);
    this.#turn = this.#splice = null;
    this.options.closed?.(this.handle);
  }

  // Reading.

  #read(chunk: Uint8Array): void {
    this.#isReading = true;
    let at = 0;
    while (at < chunk.length && !this.#isLingering && !this.#isClosed) {
      if (this.#reader.isMidBody) at = this.#reader.read(chunk, at);
      else if (this.#turn !== null || this.#isBackedUp()) {
        this.#holdBack(at === 0 ? chunk : chunk.subarray(at));
        break;
      } else if (this.#isClosing) break;
      else at = this.#reader.read(chunk, at);
    }
    this.#isReading = false;
  }

  headBegan(): void {
    this.deadlineMs = this.options.sweeper.nowMs + this.options.limits.headerTimeoutMs;
  }

  requestArrived(request: RequestMessage, bodyBytes: number): void {
    const { head } = request;
    const isMidBody = this.#reader.isMidBody;
    if (head.connection.closes || head.minorVersion === 0) this.#isClosing = true;
    // What has begun to arrive needs no invitation.
    this.#owesContinue = isMidBody && bodyBytes === 0 && head.expectsContinue;
    this.#turn = new Turn(this, request, bodyBytes);
    if (isMidBody) this.turnMoved();
    // While the reply is made, its own deadlines watch it; ours would only know that no byte moves.
    else this.deadlineMs = Infinity;
    this.#turn.start();
  }

  headRefused(error: MeshError): void {
    this.#isClosing = true;
    this.#turn = new Turn(this, null, 0);
    this.#turn.respond(this.options.refuse(error));
  }

  bodyArrived(bytes: number): void {
    this.#turn?.bodyArrived(bytes);
    this.turnMoved();
  }

  bodyCompleted(): void {
    if (this.#turn !== null && this.#turn.isWaiting) this.deadlineMs = Infinity;
  }

  bodyRefused(error: MeshError): void {
    // What follows broken framing is nobody's message. The reply to this one may still be said, then it is over.
    this.#isClosing = true;
    const turn = this.#turn;
    if (turn !== null && !turn.isWaiting) this.destroy(error);
    else turn?.failRequest(error);
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

  closesAfter(turn: Turn): boolean {
    // A body nobody takes is never waited for: the next request would stand behind all of it.
    if (turn.isLast || this.#reader.body?.isWanted === false) this.#isClosing = true;
    return this.#isClosing;
  }

  turnMoved(): void {
    this.deadlineMs = this.options.sweeper.nowMs + this.options.limits.streamIdleTimeoutMs;
  }

  turnOver(): void {
    this.#turn = null;
    this.#owesContinue = false;
    if (this.#reader.isMidBody || this.#isClosing) {
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
    if (this.#isLingering) {
      // What is written and not sent belongs to a slow reader: it has as long as any body that stands still.
      if (this.socket.bufferedBytes === 0 || nowMs >= this.#lingersUntilMs) this.socket.destroy();
    } else if (this.#turn === null && !this.#reader.isMidHead) {
      this.#finishWriting();
    } else if (this.#turn === null) {
      this.headRefused(
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

  #finishWriting(): void {
    this.#isLingering = true;
    this.#ahead = null;
    this.#reader.stop(gone());
    const { nowMs } = this.options.sweeper;
    this.deadlineMs = nowMs + LINGER_MS;
    this.#lingersUntilMs = nowMs + this.options.limits.streamIdleTimeoutMs;
    this.socket.end();
    this.#resume();
  }
}

function gone(cause?: Error): MeshError {
  return new MeshError("ERR_DOWNSTREAM_CLOSED", "The caller closed the connection", { cause });
}
