/** A `node:net` or `node:tls` socket as a `ByteSocket`, with the runtimes' differences in when they deliver levelled. */
import type { Socket } from "node:net";
import { MeshError } from "../errors.ts";
import type { ByteSocket, SocketFacts, SocketHandler } from "./contract.ts";
import { systemCode } from "./socket-errors.ts";

/** Stops and restarts the reading below a TLS socket whose own `pause()` only stops the telling. */
export interface ReadControl {
  readStop(): void;
  readStart(): void;
}

export interface NodeSocketFacts extends SocketFacts {
  /**
   * The runtime goes on reading after `pause()`, into memory of its own that nobody can bound: we never pause the socket, hold
   * what still arrives ourselves, and stop the reading by `readControl` if there is one.
   */
  readonly ignoresPause: boolean;
  readonly readControl: ReadControl | null;
  /** Only TCP knows resets, and below TLS not every runtime reaches it. */
  readonly canReset: boolean;
  /** Bytes that may arrive while paused before the connection is given up. */
  readonly maxHeldBytes: number;
}

/** A corked message up to this size leaves as one buffer: one TLS record, one system call. Above it a copy costs more. */
const JOIN_BYTES = 65_536;

export class NodeSocket implements ByteSocket {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly peerCertificates: readonly Uint8Array[];
  readonly alpn: string | null;
  readonly encrypted: boolean;
  readonly #socket: Socket;
  readonly #ignoresPause: boolean;
  readonly #readControl: ReadControl | null;
  readonly #maxHeldBytes: number;
  readonly #canReset: boolean;
  #handler: SocketHandler | null = null;
  #isPaused = false;
  /** What arrived while paused, in order; null while there is none and nothing is being handed over. */
  #held: Uint8Array[] | null = null;
  #heldBytes = 0;
  #peerEnded = false;
  #endDelivered = false;
  #weEnded = false;
  /** We gave up: nothing but `close` is told any more. */
  #destroyed = false;
  #closed = false;
  #closeDelivered = false;
  #error: Error | undefined;
  #corks = 0;
  #corked: (Uint8Array | string)[] = [];
  #corkedBytes = 0;
  #awaitsDrain = false;

  constructor(socket: Socket, facts: NodeSocketFacts) {
    this.#socket = socket;
    this.remoteAddress = facts.remoteAddress;
    this.remotePort = facts.remotePort;
    this.localPort = facts.localPort;
    this.peerCertificates = facts.peerCertificates;
    this.alpn = facts.alpn;
    this.encrypted = facts.encrypted;
    this.#ignoresPause = facts.ignoresPause;
    this.#readControl = facts.readControl;
    this.#maxHeldBytes = facts.maxHeldBytes;
    this.#canReset = facts.canReset;
    socket.on("drain", () => this.#onDrain());
    socket.on("end", () => this.#onEnd());
    socket.on("error", (error) => this.#onError(error));
    socket.on("close", () => this.#onClose());
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength + this.#corkedBytes;
  }

  attach(handler: SocketHandler): void {
    const isFirst = this.#handler === null;
    this.#handler = handler;
    if (!isFirst) return;
    if (this.#closed) {
      queueMicrotask(() => this.#deliverClose());
      return;
    }
    if (this.#peerEnded) queueMicrotask(() => this.#release());
    this.#socket.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    // Explicitly: a socket that was sorted by its first byte comes paused.
    if (this.#isPaused) this.#stopReading();
    else this.#socket.resume();
  }

  write(bytes: Uint8Array | string): boolean {
    if (this.#closed || this.#weEnded || this.#destroyed) return false;
    if (this.#corks === 0) return this.#socket.write(encode(bytes));
    this.#corked.push(bytes);
    this.#corkedBytes += bytes.length;
    if (this.#socket.writableLength + this.#corkedBytes < this.#socket.writableHighWaterMark) return true;
    this.#awaitsDrain = true;
    return false;
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (this.#corks === 0 || --this.#corks > 0) return;
    this.#flush();
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    if (this.#handler !== null) this.#stopReading();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#handler === null) return;
    // Never from inside this call: `resume` is called by handlers, and their calls must not overlap.
    if (this.#held !== null) queueMicrotask(() => this.#release());
    else this.#startReading();
  }

  end(): void {
    if (this.#weEnded || this.#closed || this.#destroyed) return;
    this.#corks = 0;
    this.#flush();
    this.#weEnded = true;
    this.#socket.end();
  }

  destroy(error?: Error): void {
    if (this.#destroyed || this.#closeDelivered) return;
    this.#destroyed = true;
    this.#error ??= error;
    this.#held = null;
    this.#heldBytes = 0;
    this.#corked = [];
    this.#corkedBytes = 0;
    if (this.#closed) {
      queueMicrotask(() => this.#deliverClose());
      return;
    }
    // A truncated stream must end as a reset, never as a clean end. Once our end has left there is nothing to truncate, and a
    // reset would take back from a slow reader what the kernel still holds for it.
    const isSaid = this.#weEnded && (this.#peerEnded || this.#socket.writableFinished);
    if (this.#canReset && !isSaid) this.#socket.resetAndDestroy();
    // `resetAndDestroy()` may wait for buffered writes: whoever stalls must not keep us.
    this.#socket.destroy();
  }

  #flush(): void {
    const parts = this.#corked;
    if (parts.length === 0) return;
    const bytes = this.#corkedBytes;
    this.#corked = [];
    this.#corkedBytes = 0;
    if (this.#closed || this.#weEnded) return;
    const socket = this.#socket;
    let accepted: boolean;
    if (parts.length === 1) accepted = socket.write(encode(parts[0]!));
    else if (bytes <= JOIN_BYTES) accepted = socket.write(join(parts, bytes));
    else {
      socket.cork();
      accepted = true;
      for (const part of parts) accepted = socket.write(encode(part));
      socket.uncork();
    }
    if (!accepted) this.#awaitsDrain = false;
    else if (this.#awaitsDrain) queueMicrotask(() => this.#onDrain());
  }

  #onData(chunk: Uint8Array): void {
    if (this.#destroyed) return;
    if (this.#isPaused || this.#held !== null) this.#hold(chunk);
    else this.#deliver(chunk);
  }

  #deliver(chunk: Uint8Array): void {
    try {
      this.#handler?.data(chunk);
    } catch (error) {
      this.destroy(MeshError.from(error));
    }
  }

  #hold(chunk: Uint8Array): void {
    (this.#held ??= []).push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes <= this.#maxHeldBytes) return;
    this.destroy(
      new MeshError(
        "ERR_OVERLOADED",
        `${this.remoteAddress}:${this.remotePort}: more than ${this.#maxHeldBytes} bytes arrived while the reader was paused, and this runtime cannot stop a TLS peer`,
        { advice: "send this over HTTP/2, where flow control holds the sender back" },
      ),
    );
  }

  #release(): void {
    while (this.#held !== null && !this.#isPaused && !this.#closeDelivered) {
      const chunk = this.#held.shift();
      if (chunk === undefined) {
        this.#held = null;
        break;
      }
      this.#heldBytes -= chunk.length;
      this.#deliver(chunk);
    }
    if (this.#held !== null || this.#isPaused) return;
    if (this.#peerEnded) this.#deliverEnd();
    if (this.#closed) this.#deliverClose();
    else this.#startReading();
  }

  #stopReading(): void {
    if (!this.#ignoresPause) this.#socket.pause();
    else if (!this.#closed && !this.#destroyed) this.#readControl?.readStop();
  }

  #startReading(): void {
    if (!this.#ignoresPause) this.#socket.resume();
    else if (!this.#closed && !this.#destroyed) this.#readControl?.readStart();
  }

  #onDrain(): void {
    this.#awaitsDrain = false;
    if (this.#closed || this.#destroyed || this.#handler === null) return;
    try {
      this.#handler.drain();
    } catch (error) {
      this.destroy(MeshError.from(error));
    }
  }

  #onEnd(): void {
    this.#peerEnded = true;
    if (this.#held === null && !(this.#isPaused && this.#ignoresPause)) this.#deliverEnd();
    else this.#held ??= [];
  }

  #deliverEnd(): void {
    if (this.#endDelivered || this.#closeDelivered || this.#destroyed || this.#handler === null) return;
    this.#endDelivered = true;
    try {
      this.#handler.end();
    } catch (error) {
      this.destroy(MeshError.from(error));
    }
  }

  #onError(error: Error): void {
    // After both sides finished, a peer that closed a moment earlier is no news (TLS still wants to write close_notify).
    const code = systemCode(error);
    if (this.#weEnded && this.#peerEnded && (code === "EPIPE" || code === "ECONNRESET")) return;
    this.#error ??= error;
  }

  #onClose(): void {
    this.#closed = true;
    this.#corked = [];
    this.#corkedBytes = 0;
    // An orderly close waits for what its reader has not taken yet; a broken one is told at once.
    if (this.#held === null || this.#error !== undefined) this.#deliverClose();
  }

  #deliverClose(): void {
    if (this.#closeDelivered || this.#handler === null) return;
    this.#closeDelivered = true;
    this.#held = null;
    this.#handler.close(this.#error);
  }
}

const utf8 = new TextEncoder();

/** By us, not by `write(text, "latin1")`: Deno's TLS sockets send some of such text as UTF-8 (2.9.6), which alters field values. */
function encode(bytes: Uint8Array | string): Uint8Array {
  return typeof bytes === "string" ? join([bytes], bytes.length) : bytes;
}

function join(parts: readonly (Uint8Array | string)[], bytes: number): Uint8Array {
  const joined = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const part of parts) {
    if (typeof part === "string") putLatin1(joined, part, at);
    else joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Nearly every head is ASCII, where UTF-8 is the same bytes, and `encodeInto` takes a sixth of the time of `write` on Deno. */
function putLatin1(target: Buffer, text: string, at: number): void {
  const { read, written } = utf8.encodeInto(text, at === 0 ? target : target.subarray(at));
  if (read !== text.length || written !== text.length) target.write(text, at, "latin1");
}
