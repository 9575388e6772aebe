/** Two byte streams joined after a 101: each side at the pace of the other, each end passed on as an end. */
import type { MeshError } from "../errors.ts";
import type { ByteSocket } from "../runtime/contract.ts";
import type { BodySink, Tunnel } from "./message.ts";

export interface SpliceOwner {
  /** Bytes passed, up from or down to the client. */
  spliced(up: number, down: number): void;
  /** Both directions have ended, or one broke. */
  spliceOver(): void;
}

export class Splice implements BodySink {
  readonly #socket: ByteSocket;
  readonly #tunnel: Tunnel;
  readonly #owner: SpliceOwner;
  #hasUpEnded = false;
  #hasDownEnded = false;
  #isOver = false;

  constructor(socket: ByteSocket, tunnel: Tunnel, owner: SpliceOwner) {
    this.#socket = socket;
    this.#tunnel = tunnel;
    this.#owner = owner;
    tunnel.onDrain(() => socket.resume());
  }

  /** @param ahead what the client sent behind its request: kept until the 101, so that a refused upgrade is no smuggling (L17) */
  start(ahead: Uint8Array | null): void {
    if (this.#tunnel.early.length > 0) this.data(this.#tunnel.early);
    if (ahead !== null) this.fromClient(ahead);
    this.#tunnel.attach(this);
  }

  fromClient(chunk: Uint8Array): void {
    if (this.#isOver || this.#hasUpEnded) return;
    this.#owner.spliced(chunk.length, 0);
    if (!this.#tunnel.write(chunk)) this.#socket.pause();
  }

  clientEnded(): void {
    if (this.#isOver || this.#hasUpEnded) return;
    this.#hasUpEnded = true;
    this.#tunnel.end();
    if (this.#hasDownEnded) this.#over();
  }

  clientDrained(): void {
    if (!this.#isOver) this.#tunnel.resume();
  }

  clientClosed(reason: MeshError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#tunnel.destroy(reason);
  }

  data(chunk: Uint8Array): boolean {
    if (this.#isOver || this.#hasDownEnded) return false;
    this.#owner.spliced(0, chunk.length);
    return this.#socket.write(chunk);
  }

  end(): void {
    if (this.#isOver || this.#hasDownEnded) return;
    this.#hasDownEnded = true;
    this.#socket.end();
    if (this.#hasUpEnded) this.#over();
  }

  error(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#socket.destroy();
  }

  #over(): void {
    this.#isOver = true;
    this.#owner.spliceOver();
  }
}
