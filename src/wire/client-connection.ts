/**
 * One HTTP/1.1 connection to an upstream: one request at a time, and a precise word about how far it got when it fails,
 * because that decides whether it may be repeated.
 */
import { MeshError, type MeshErrorCode, type Sent } from "../errors.ts";
import type { ByteSocket, SocketHandler } from "../runtime/contract.ts";
import { BodyWriter, writeWhole, type WriterOwner } from "./body-writer.ts";
import { emptyBody, type IncomingBody } from "./incoming-body.ts";
import type { BodySource, WireLimits } from "./message.ts";
import type { ResponseLines } from "./response-head.ts";
import { ResponseReader, type ResponseReaderOwner } from "./response-reader.ts";
import { ResponseMessage } from "./response.ts";
import { IN_CHUNKS, noEdits, WITH_LENGTH } from "./serialize.ts";
import type { Expiring, Sweeper } from "./sweeper.ts";
import { SocketTunnel } from "./tunnel.ts";

/** A request about to be written. */
export interface ClientRequest {
  /** The complete head, as serialize.ts makes it. */
  readonly head: string;
  readonly body: BodySource;
  readonly isHead: boolean;
  /** The protocols the head asks for, as it lists them: 101 to one of them is an answer, any other 101 an error. */
  readonly upgrade: string | null;
  readonly url: string;
}

/** Hears what became of a request. `responded` or `failed` is called exactly once. */
export interface ClientListener {
  interim(status: number, reason: string, lines: string): void;
  /** The response head arrived; its body may still be coming. */
  responded(response: ResponseMessage): void;
  /** No usable response will come. */
  failed(error: MeshError): void;
  /** Nothing is left to do for this exchange: the response is complete or given up. Called once after `responded`. */
  settled(): void;
}

/** Where a connection goes when its exchange is over. */
export interface ClientOwner {
  released(connection: ClientConnection): void;
  /** It is gone, busy or not. Called once. */
  closed(connection: ClientConnection): void;
}

/** 102 and 103 in a row that one response may need; more is a server that will never answer. */
const MAX_INTERIM = 32;
const CLOSE_TIMEOUT_MS = 1_000;

export class ClientConnection implements SocketHandler, ResponseReaderOwner, WriterOwner, Expiring {
  deadlineMs = Infinity;
  /** How long the server keeps it when idle, as far as it told; Infinity if it did not. */
  keepAliveMs = Infinity;
  readonly #socket: ByteSocket;
  readonly #limits: WireLimits;
  readonly #sweeper: Sweeper;
  readonly #owner: ClientOwner;
  readonly #reader: ResponseReader;
  #request: ClientRequest | null = null;
  #listener: ClientListener | null = null;
  #upload: BodySource | null = null;
  #tunnel: SocketTunnel | null = null;
  #sent: Sent = "nothing";
  #hasResponded = false;
  #isPersistent = true;
  #isPaused = false;
  #isClosed = false;
  #interims = 0;

  constructor(socket: ByteSocket, limits: WireLimits, sweeper: Sweeper, owner: ClientOwner) {
    this.#socket = socket;
    this.#limits = limits;
    this.#sweeper = sweeper;
    this.#owner = owner;
    this.#reader = new ResponseReader(limits, this);
    sweeper.add(this);
    socket.attach(this);
  }

  get isUsable(): boolean {
    return !this.#isClosed && this.#isPersistent && this.#request === null;
  }

  get encrypted(): boolean {
    return this.#socket.encrypted;
  }

  /** True once a byte of the response arrived: the server took the request. */
  get hasAnswered(): boolean {
    return this.#hasResponded || this.#interims > 0 || this.#reader.isMidHead;
  }

  send(request: ClientRequest, listener: ClientListener): void {
    this.#request = request;
    this.#listener = listener;
    this.#hasResponded = false;
    this.#interims = 0;
    // Waiting for an answer is somebody else's deadline; ours watches moving bodies.
    this.deadlineMs = Infinity;
    const { body } = request;
    if (body.whole !== null) {
      this.#sent = body.whole.length === 0 ? "head" : "body";
      writeWhole(this.#socket, request.head, body.whole);
      return;
    }
    this.#sent = "head";
    this.#upload = body;
    const writer = new BodyWriter(this.#socket, this, body.length === null ? IN_CHUNKS : WITH_LENGTH, body.length ?? 0);
    this.#socket.cork();
    this.#socket.write(request.head);
    body.pipe(writer);
    this.#socket.uncork();
  }

  /** Gives up the exchange under way, and the connection with it: what the server still says belongs to nobody. */
  abort(reason: MeshError): void {
    this.#fail(reason);
  }

  /** Closes it when idle; a busy one closes when its exchange is over. */
  retire(): void {
    this.#isPersistent = false;
    if (this.#request === null) this.#close();
  }

  expired(): void {
    if (this.#isClosed) this.#socket.destroy();
    else if (this.#request === null) this.#close();
    else
      this.#fail(
        new MeshError("ERR_STREAM_IDLE", `No byte moved for ${this.#limits.streamIdleTimeoutMs} ms`, {
          sent: this.#sent,
        }),
      );
  }

  // The socket.

  data(chunk: Uint8Array): void {
    if (this.#tunnel !== null) {
      this.#tunnel.received(chunk);
      return;
    }
    let at = 0;
    while (at < chunk.length) {
      if (this.#request === null || this.#isClosed) {
        // RFC 9112 §6.3: what nobody asked for is not a response. It may be the second half of an attack, or a 408.
        this.#isPersistent = false;
        this.#close();
        return;
      }
      try {
        at = this.#reader.read(chunk, at, this.#request.isHead);
      } catch (error) {
        const { message } = MeshError.from(error);
        this.#fail(this.#error("ERR_UPSTREAM_PROTOCOL", message, error));
        return;
      }
      if (this.#tunnel !== null) return;
    }
  }

  drain(): void {
    if (this.#tunnel !== null) this.#tunnel.drained();
    else this.#upload?.resume();
  }

  end(): void {
    if (this.#tunnel !== null) this.#tunnel.ended();
    else if (this.#request === null) this.#close();
    // Only an orderly end completes a body that ends with its connection; a close without one is a cut.
    else if (!this.#reader.finish()) this.#cut();
  }

  close(error?: Error): void {
    this.#sweeper.delete(this);
    const wasClosed = this.#isClosed;
    this.#isClosed = true;
    if (this.#tunnel !== null) {
      const listener = this.#listener;
      this.#tunnel.closed(error === undefined ? null : this.#error("ERR_UPSTREAM_RESET", "The tunnel broke", error));
      this.#settle();
      listener?.settled();
    } else if (this.#request !== null) this.#cut(error);
    if (!wasClosed) this.#owner.closed(this);
  }

  /** The server will say nothing more, in the middle of an exchange. */
  #cut(cause?: Error): void {
    const where = this.#hasResponded ? "inside its response" : "before it responded";
    this.#fail(this.#error("ERR_UPSTREAM_RESET", `The upstream closed the connection ${where}`, cause));
  }

  #error(code: MeshErrorCode, message: string, cause: unknown): MeshError {
    return new MeshError(code, message, { sent: this.#sent, cause });
  }

  // The response.

  interim(head: ResponseLines): void {
    if (++this.#interims > MAX_INTERIM) throw new Error("Too many interim responses");
    // 100 answers an expectation that never got here (we answer it ourselves); the others are the client's.
    if (head.status !== 100) this.#listener!.interim(head.status, head.reason, head.forwarded(noEdits, -1));
  }

  answered(head: ResponseLines, source: BodySource, isComplete: boolean, isExact: boolean): void {
    const listener = this.#listener!;
    this.#hasResponded = true;
    // What follows a response must never be taken for the next one's: such a connection carries no other request.
    if (!head.isPersistent || !isExact) this.#isPersistent = false;
    this.keepAliveMs = head.keepAliveMs ?? this.keepAliveMs;
    const response = new ResponseMessage(head, source, null, this.#request!.url);
    // Free the connection first: the next request may be waiting for just this one.
    if (isComplete) this.#settle();
    else this.responseMoved();
    listener.responded(response);
    if (isComplete) listener.settled();
  }

  bodyCompleted(body: IncomingBody, trailers: readonly string[] | null, isExact: boolean): void {
    const listener = this.#listener!;
    if (!isExact) this.#isPersistent = false;
    this.#settle();
    body.finish(trailers);
    listener.settled();
  }

  switched(head: ResponseLines, early: Uint8Array): void {
    if (!isAmong(head.upgrade, this.#request!.upgrade))
      throw new Error("The upstream switched protocols without being asked to");
    this.#hasResponded = true;
    this.#isPersistent = false;
    this.#tunnel = new SocketTunnel(this.#socket, early);
    this.deadlineMs = Infinity;
    this.#socket.pause();
    this.#listener!.responded(new ResponseMessage(head, emptyBody, this.#tunnel, this.#request!.url));
  }

  responseMoved(): void {
    this.deadlineMs = this.#sweeper.nowMs + this.#limits.streamIdleTimeoutMs;
  }

  /** This side of the exchange is over: the connection is free, or finished. */
  #settle(): void {
    const upload = this.#upload;
    this.#request = this.#listener = this.#upload = null;
    this.deadlineMs = Infinity;
    if (upload !== null) {
      // Answered before it had everything: fine for the client, but the rest must not run into the next request.
      upload.cancel(
        new MeshError("ERR_UPSTREAM_RESET", "The upstream answered before it had the whole request", { sent: "body" }),
      );
      this.#isPersistent = false;
    }
    if (this.#isClosed) return;
    if (!this.#isPersistent) this.#close();
    else {
      this.#resume();
      this.#owner.released(this);
    }
  }

  #fail(error: MeshError): void {
    const listener = this.#listener;
    const body = this.#reader.stop();
    const upload = this.#upload;
    this.#request = this.#listener = this.#upload = null;
    this.#isPersistent = false;
    this.#tunnel?.destroy(error);
    this.#close(error);
    upload?.cancel(error);
    body?.fail(error);
    if (listener === null) return;
    if (this.#hasResponded) listener.settled();
    else listener.failed(error);
  }

  #close(reason?: MeshError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (reason === undefined) {
      // Orderly: but a server that does not close its side in turn gets no more than this.
      this.deadlineMs = this.#sweeper.nowMs + CLOSE_TIMEOUT_MS;
      this.#resume();
      this.#socket.end();
    } else this.#socket.destroy(reason);
    this.#owner.closed(this);
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  // The response's body.

  bodyWanted(): void {}

  holdBody(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  continueBody(): void {
    this.#resume();
  }

  bodyCancelled(reason: MeshError): void {
    // Closing is cheaper than reading to the end what nobody wants, and it tells the upstream to stop.
    this.#fail(reason);
  }

  // The request's body.

  bodyMoved(): void {
    this.#sent = "body";
    this.responseMoved();
  }

  bodyWritten(): void {
    this.#upload = null;
    if (!this.#reader.isMidBody) this.deadlineMs = Infinity;
  }

  bodyBroken(reason: MeshError): void {
    this.#fail(reason);
  }
}

/** RFC 9110 §7.8: only to a protocol that was asked for, or a tunnel could carry one that nobody decided on (h2c). */
function isAmong(chosen: string | null, asked: string | null): boolean {
  if (chosen === null || asked === null) return false;
  const protocols = asked.toLowerCase().split(",");
  return chosen
    .toLowerCase()
    .split(",")
    .every((one) => protocols.some((other) => other.trim() === one.trim()));
}
