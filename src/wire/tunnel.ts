/** The upstream's half of an upgraded connection. */
import { MeshError } from "../errors.ts";
import type { ByteSocket } from "../runtime/contract.ts";
import type { BodySink, Tunnel } from "./message.ts";

export class SocketTunnel implements Tunnel {
  readonly early: Uint8Array;
  readonly #socket: ByteSocket;
  #sink: BodySink | null = null;
  #drained: (() => void) | null = null;
  #hasEnded = false;
  #isClosed = false;
  #error: MeshError | null = null;

  constructor(socket: ByteSocket, early: Uint8Array) {
    this.#socket = socket;
    this.early = early;
  }

  // From whoever splices.

  attach(sink: BodySink): void {
    this.#sink = sink;
    if (this.#isClosed) this.closed(this.#error);
    else if (this.#hasEnded) sink.end(null);
    else this.#socket.resume();
  }

  write(chunk: Uint8Array): boolean {
    return this.#isClosed || this.#socket.write(chunk);
  }

  onDrain(drained: () => void): void {
    this.#drained = drained;
  }

  resume(): void {
    if (!this.#isClosed) this.#socket.resume();
  }

  end(): void {
    if (!this.#isClosed) this.#socket.end();
  }

  destroy(reason: MeshError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.destroy(reason);
  }

  // From the connection.

  received(chunk: Uint8Array): void {
    if (this.#sink === null || this.#sink.data(chunk)) return;
    this.#socket.pause();
  }

  drained(): void {
    this.#drained?.();
  }

  ended(): void {
    this.#hasEnded = true;
    this.#sink?.end(null);
  }

  closed(error: MeshError | null): void {
    this.#isClosed = true;
    this.#error = error;
    // A close without an end is a cut, even if the runtime found nothing wrong with it.
    if (error === null && this.#hasEnded) this.#sink?.end(null);
    else this.#sink?.error(error ?? new MeshError("ERR_UPSTREAM_RESET", "The tunnel closed", { sent: "body" }));
  }
}
