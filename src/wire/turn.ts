/** One request and its reply on a downstream connection: the writing half of a server connection. */
import { MeshError } from "../errors.ts";
import type { ByteSocket } from "../runtime/contract.ts";
import { StreamBody } from "./body-stream.ts";
import { BodyWriter, writeWhole, type WriterOwner } from "./body-writer.ts";
import { emptyBody } from "./incoming-body.ts";
import type { BodySource, Reception } from "./message.ts";
import type { RequestMessage } from "./request.ts";
import { isBodiless } from "./response-head.ts";
import { ResponseMessage } from "./response.ts";
import {
  addedValue,
  forwardedResponseHead,
  httpDate,
  IN_CHUNKS,
  NO_BODY,
  platformResponseHead,
  UNTIL_END,
  WITH_LENGTH,
  type OutgoingReply,
} from "./serialize.ts";
import type { ServerConnectionOptions } from "./server-options.ts";

/** The connection a turn is taken on. */
export interface TurnOwner {
  readonly socket: ByteSocket;
  readonly options: ServerConnectionOptions;
  /** Asked when a reply head is written: will the connection be closed behind it? */
  closesAfter(turn: Turn): boolean;
  /** Bytes of the reply moved: it is not idle. */
  turnMoved(): void;
  /** The reply is complete. */
  turnOver(turn: Turn): void;
  /** The reply is truncated: the client must see that. */
  turnBroken(turn: Turn, reason: MeshError): void;
  /** 101 was written; from now on the bytes are not HTTP. */
  turnTunnels(turn: Turn, response: ResponseMessage): void;
}

const WAITING = 0;
const REPLYING = 1;
const OVER = 2;

export class Turn implements WriterOwner {
  /** null: the bytes never became a request. */
  readonly request: RequestMessage | null;
  readonly #owner: TurnOwner;
  #reception: Reception | null = null;
  #state = WAITING;
  #source: BodySource | null = null;
  /** A reply that came before `receive` returned. */
  #early: Response | null = null;
  #isReceiving = false;
  #isUnedited = false;
  #aborted: MeshError | null = null;
  /** Body bytes that came before there was a reception to count them. */
  #bytesReceived: number;

  constructor(owner: TurnOwner, request: RequestMessage | null, bytesReceived: number) {
    this.#owner = owner;
    this.request = request;
    this.#bytesReceived = bytesReceived;
  }

  get isWaiting(): boolean {
    return this.#state === WAITING;
  }

  /** A layer wants this reply to be the last on its connection: whoever is on it has to come back and prove who it is. */
  get isLast(): boolean {
    const edits = this.#reception?.responseEdits;
    return edits !== undefined && addedValue(edits, "connection") === "close";
  }

  /** Hands the request over. */
  start(): void {
    const { options } = this.#owner;
    this.#isReceiving = true;
    let reception: Reception | null = null;
    try {
      reception = options.receive(this.request!, (response) => this.respond(response));
      reception.bytesReceived += this.#bytesReceived;
    } catch (error) {
      // Whoever handles requests must not be able to take the connection down with it.
      this.#early = options.refuse(MeshError.from(error));
    }
    this.#reception = reception;
    this.#isReceiving = false;
    if (this.#aborted !== null) {
      // The client went while the request was being handed over.
      reception?.abort(this.#aborted);
      reception?.finish();
    }
    const early = this.#early;
    this.#early = null;
    if (early !== null) this.respond(early);
  }

  bodyArrived(bytes: number): void {
    if (this.#reception !== null) this.#reception.bytesReceived += bytes;
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.#source?.resume();
  }

  /** The request cannot be carried on with, but its reply may still be said. */
  failRequest(reason: MeshError): void {
    this.request?.abort(reason);
    this.#reception?.abort(reason);
  }

  /** The client is gone. */
  abort(reason: MeshError): void {
    if (this.#state === OVER) return;
    this.#state = OVER;
    this.#aborted = reason;
    this.request?.abort(reason);
    this.#reception?.abort(reason);
    this.#source?.cancel(reason);
    this.#reception?.finish();
  }

  respond(response: Response): void {
    if (this.#isReceiving && this.#state === WAITING) {
      this.#early = response;
      return;
    }
    const isWire = response instanceof ResponseMessage && !response.isStreamed && !response.bodyUsed;
    if (this.#state !== WAITING) {
      discard(response, isWire);
      return;
    }
    this.#state = REPLYING;
    if (this.#reception !== null) this.#reception.status = response.status;
    const { options, socket } = this.#owner;
    if (isWire && response.tunnel !== null) {
      this.#tunnel(response);
      return;
    }
    const source: BodySource = isWire ? response.source : platformBody(response);
    const out = this.#outgoing(response.status, source);
    let head: string;
    try {
      head = isWire ? forwardedResponseHead(response, out) : platformResponseHead(response, out);
    } catch (error) {
      // A layer made a header that must not be written. The only honest reply left is our own, without their edits.
      source.cancel(MeshError.from(error));
      this.#state = WAITING;
      this.#isUnedited = true;
      this.respond(options.refuse(MeshError.from(error)));
      return;
    }
    if (out.mode === NO_BODY || source.whole !== null) {
      const body = out.mode === NO_BODY ? emptyBody.whole : source.whole!;
      if (out.mode === NO_BODY && source.whole === null)
        source.cancel(new MeshError("ERR_DOWNSTREAM_CLOSED", "This reply has no body"));
      if (this.#reception !== null) this.#reception.bytesSent += body.length;
      writeWhole(socket, head, body);
      this.bodyWritten();
      return;
    }
    this.#source = source;
    // The head leaves together with what of the body is there already.
    socket.cork();
    socket.write(head);
    source.pipe(new BodyWriter(socket, this, out.mode, out.bodyLength));
    socket.uncork();
  }

  bodyMoved(bytes: number): void {
    if (this.#reception !== null) this.#reception.bytesSent += bytes;
    this.#owner.turnMoved();
  }

  bodyWritten(): void {
    if (this.#state === OVER) return;
    this.#state = OVER;
    this.#source = null;
    // First the connection, which may read the next request: `finish` then sees a turn that is truly over.
    this.#owner.turnOver(this);
    this.#reception?.finish();
  }

  bodyBroken(reason: MeshError): void {
    if (this.#state === OVER) return;
    this.#source?.cancel(reason);
    this.#owner.turnBroken(this, reason);
  }

  #tunnel(response: ResponseMessage): void {
    const edits = this.#reception?.responseEdits ?? null;
    const head = forwardedResponseHead(response, {
      edits,
      mode: NO_BODY,
      bodyLength: 0,
      closes: false,
      date: httpDate(this.#owner.options.clock.epochMs()),
    });
    // RFC 9110 §7.8: the switch is said in two fields that never pass by themselves.
    this.#owner.socket.write(
      `${head.slice(0, -2)}connection: Upgrade\r\nupgrade: ${response.head.upgrade ?? this.request!.head.upgrade}\r\n\r\n`,
    );
    this.#owner.turnTunnels(this, response);
  }

  #outgoing(status: number, source: BodySource): OutgoingReply {
    const { options } = this.#owner;
    const isHead = this.request !== null && this.request.head.method === "HEAD";
    const length = source.whole === null ? source.length : source.whole.length;
    let mode = IN_CHUNKS;
    if (isHead || isBodiless(status)) mode = NO_BODY;
    else if (length !== null) mode = WITH_LENGTH;
    else if (this.request !== null && this.request.head.minorVersion === 0) mode = UNTIL_END;
    return {
      edits: this.#reception === null || this.#isUnedited ? null : this.#reception.responseEdits,
      mode,
      bodyLength: length ?? 0,
      closes: mode === UNTIL_END || this.#owner.closesAfter(this),
      date: httpDate(options.clock.epochMs()),
    };
  }
}

function platformBody(response: Response): BodySource {
  const { body } = response;
  if (body === null) return emptyBody;
  const length = response.headers.get("content-length");
  // A decoded body no longer has the length its head names; only an undecoded one is believed.
  const isExact = length !== null && /^\d{1,15}$/.test(length) && !response.headers.has("content-encoding");
  return new StreamBody(body, isExact ? Number(length) : null);
}

/** A reply nobody waits for any more. */
function discard(response: Response, isWire: boolean): void {
  const reason = new MeshError("ERR_DOWNSTREAM_CLOSED", "The caller closed the connection");
  if (isWire) {
    (response as ResponseMessage).tunnel?.destroy(reason);
    (response as ResponseMessage).source.cancel(reason);
  } else if (!response.bodyUsed) response.body?.cancel(reason).catch(() => {});
}
