/** Writes one body in its framing, at the pace of the socket. */
import { MeshError } from "../errors.ts";
import type { ByteSocket } from "../runtime/contract.ts";
import { latin1Bytes } from "./latin1.ts";
import type { BodySink } from "./message.ts";
import { IN_CHUNKS, NO_BODY, trailerLines, WITH_LENGTH } from "./serialize.ts";

/** Below this a chunk is copied between its size and its CRLF and leaves as one piece; above, copying costs more than a gathered write. */
const COPY_BYTES = 8_192;

export interface WriterOwner {
  /** Bytes of the body just written; false from the socket means the source now waits for `drain`. */
  bodyMoved(bytes: number): void;
  bodyWritten(): void;
  /** The message is incomplete on the wire: its connection cannot be used, nor ended as if all were well. */
  bodyBroken(reason: MeshError): void;
}

export class BodyWriter implements BodySink {
  readonly #socket: ByteSocket;
  readonly #owner: WriterOwner;
  readonly #mode: number;
  #left: number;
  #isOver = false;

  /** @param length bytes promised, with WITH_LENGTH */
  constructor(socket: ByteSocket, owner: WriterOwner, mode: number, length: number) {
    this.#socket = socket;
    this.#owner = owner;
    this.#mode = mode;
    this.#left = mode === WITH_LENGTH ? length : Infinity;
  }

  data(chunk: Uint8Array): boolean {
    if (this.#isOver) return false;
    if (this.#mode === NO_BODY || chunk.length === 0) return true;
    this.#left -= chunk.length;
    if (this.#left < 0) {
      this.error(
        new MeshError("ERR_UPSTREAM_PROTOCOL", "The body is longer than its Content-Length", { sent: "body" }),
      );
      return false;
    }
    const isTaken = this.#mode === IN_CHUNKS ? this.#writeChunk(chunk) : this.#socket.write(chunk);
    this.#owner.bodyMoved(chunk.length);
    return isTaken;
  }

  end(trailers: readonly string[] | null): void {
    if (this.#isOver) return;
    if (this.#mode === WITH_LENGTH && this.#left > 0) {
      this.error(
        new MeshError("ERR_UPSTREAM_PROTOCOL", "The body is shorter than its Content-Length", { sent: "body" }),
      );
      return;
    }
    this.#isOver = true;
    if (this.#mode === IN_CHUNKS)
      this.#socket.write(trailers === null ? "0\r\n\r\n" : `0\r\n${trailerLines(trailers)}\r\n`);
    this.#owner.bodyWritten();
  }

  error(reason: MeshError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner.bodyBroken(reason);
  }

  #writeChunk(chunk: Uint8Array): boolean {
    const size = `${chunk.length.toString(16)}\r\n`;
    if (chunk.length <= COPY_BYTES) {
      const framed = new Uint8Array(size.length + chunk.length + 2);
      framed.set(latin1Bytes(size));
      framed.set(chunk, size.length);
      framed[framed.length - 2] = 0x0d;
      framed[framed.length - 1] = 0x0a;
      return this.#socket.write(framed);
    }
    this.#socket.cork();
    this.#socket.write(size);
    this.#socket.write(chunk);
    const isTaken = this.#socket.write("\r\n");
    this.#socket.uncork();
    return isTaken;
  }
}

/** Head and a whole body as one write. */
export function writeWhole(socket: ByteSocket, head: string, body: Uint8Array): void {
  if (body.length === 0) {
    socket.write(head);
    return;
  }
  socket.cork();
  socket.write(head);
  socket.write(body);
  socket.uncork();
}
