/** Two `ByteSocket`s joined in one process, as strict as TCP about order, half-close, backpressure and resets. */
import { MeshError } from "../errors.ts";
import type { ByteSocket, SocketFacts, SocketHandler } from "./contract.ts";

/** What a kernel would buffer on the way; a writer is told to wait beyond it. */
const HIGH_WATER_BYTES = 65_536;

/** Runs an action later, never now: `setImmediate`, or `queueMicrotask` in a simulation. */
export type Defer = (action: () => void) => void;

export class MemorySocket implements ByteSocket {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly peerCertificates: readonly Uint8Array[];
  readonly alpn: string | null;
  readonly encrypted: boolean;
  readonly #defer: Defer;
  #other!: MemorySocket;
  #handler: SocketHandler | null = null;
  #incoming: Uint8Array[] = [];
  #incomingBytes = 0;
  #corks = 0;
  #corked: Uint8Array[] = [];
  #corkedBytes = 0;
  #isPaused = false;
  #isScheduled = false;
  #weEnded = false;
  #peerEnded = false;
  #endDelivered = false;
  #awaitsDrain = false;
  #drainDue = false;
  #isClosing = false;
  #isClosed = false;
  #error: Error | undefined;

  constructor(facts: SocketFacts, defer: Defer) {
    this.remoteAddress = facts.remoteAddress;
    this.remotePort = facts.remotePort;
    this.localPort = facts.localPort;
    this.peerCertificates = facts.peerCertificates;
    this.alpn = facts.alpn;
    this.encrypted = facts.encrypted;
    this.#defer = defer;
  }

  static join(left: MemorySocket, right: MemorySocket): void {
    left.#other = right;
    right.#other = left;
  }

  get bufferedBytes(): number {
    return this.#other.#incomingBytes + this.#corkedBytes;
  }

  attach(handler: SocketHandler): void {
    this.#handler = handler;
    this.#schedule();
  }

  write(bytes: Uint8Array | string): boolean {
    if (this.#weEnded || this.#isClosing) return false;
    // Copied: the caller may reuse its buffer, as with a kernel.
    const copy = typeof bytes === "string" ? fromLatin1(bytes) : bytes.slice();
    this.#corked.push(copy);
    this.#corkedBytes += copy.length;
    if (this.#corks === 0) this.#flush();
    if (this.bufferedBytes < HIGH_WATER_BYTES) return true;
    this.#awaitsDrain = true;
    return false;
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (this.#corks > 0 && --this.#corks === 0) this.#flush();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#schedule();
  }

  end(): void {
    if (this.#weEnded || this.#isClosing) return;
    this.#corks = 0;
    this.#flush();
    this.#weEnded = true;
    this.#other.#peerEnded = true;
    this.#other.#schedule();
    this.#schedule();
  }

  destroy(error?: Error): void {
    if (this.#isClosing) return;
    this.#giveUp(error);
    const other = this.#other;
    if (!other.#isClosing) other.#giveUp(resetBy(this));
  }

  #giveUp(error: Error | undefined): void {
    this.#isClosing = true;
    this.#error = error;
    this.#incoming = [];
    this.#incomingBytes = 0;
    this.#corked = [];
    this.#corkedBytes = 0;
    this.#schedule();
  }

  #flush(): void {
    const parts = this.#corked;
    if (parts.length === 0) return;
    const other = this.#other;
    this.#corked = [];
    if (!other.#isClosing) {
      other.#incoming.push(parts.length === 1 ? parts[0]! : concat(parts, this.#corkedBytes));
      other.#incomingBytes += this.#corkedBytes;
      other.#schedule();
    }
    this.#corkedBytes = 0;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed || this.#handler === null) return;
    this.#isScheduled = true;
    this.#defer(() => {
      this.#isScheduled = false;
      this.#turn();
    });
  }

  /** One thing per turn, so that both ends and everybody else get theirs. */
  #turn(): void {
    const handler = this.#handler;
    if (handler === null || this.#isClosed) return;
    try {
      if (this.#isClosing) return this.#close(handler);
      if (this.#drainDue) {
        this.#drainDue = false;
        this.#schedule();
        return handler.drain();
      }
      if (this.#isPaused) return;
      const chunk = this.#incoming.shift();
      if (chunk !== undefined) {
        this.#incomingBytes -= chunk.length;
        this.#schedule();
        this.#other.#taken();
        return handler.data(chunk);
      }
      if (this.#peerEnded && !this.#endDelivered) {
        this.#endDelivered = true;
        this.#schedule();
        return handler.end();
      }
      if (this.#endDelivered && this.#weEnded) {
        this.#isClosing = true;
        this.#close(handler);
      }
    } catch (error) {
      this.destroy(MeshError.from(error));
    }
  }

  #close(handler: SocketHandler): void {
    this.#isClosed = true;
    handler.close(this.#error);
  }

  #taken(): void {
    if (!this.#awaitsDrain || this.bufferedBytes > 0) return;
    this.#awaitsDrain = false;
    this.#drainDue = true;
    this.#schedule();
  }
}

function resetBy(end: MemorySocket): Error {
  return Object.assign(new Error(`connection reset by port ${end.localPort}`), { code: "ECONNRESET" });
}

function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function concat(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const joined = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
