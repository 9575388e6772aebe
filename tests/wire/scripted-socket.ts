/** One end of a connection whose other end is the test: bytes in, bytes out, nothing deferred. */
import type { ByteSocket, SocketHandler } from "../../src/runtime/contract.ts";

export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

export class ScriptedSocket implements ByteSocket {
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 4_711;
  readonly localPort = 80;
  readonly peerCertificates: readonly Uint8Array[] = [];
  readonly alpn: string | null = null;
  readonly encrypted = false;
  /** What was written, as latin-1. */
  written = "";
  /** Number of flushes: what would have been system calls. */
  writes = 0;
  bufferedBytes = 0;
  isPaused = false;
  hasEnded = false;
  isDestroyed = false;
  /** False makes every write ask for a pause. */
  isWritable = true;
  #handler: SocketHandler | null = null;
  #corks = 0;

  attach(handler: SocketHandler): void {
    this.#handler = handler;
  }

  write(bytes: Uint8Array | string): boolean {
    this.written += typeof bytes === "string" ? bytes : textOf(bytes);
    if (this.#corks === 0) this.writes++;
    return this.isWritable;
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (--this.#corks === 0) this.writes++;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.hasEnded = true;
  }

  destroy(error?: Error): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.#handler?.close(error);
  }

  // The other end.

  receive(text: string | Uint8Array): void {
    if (!this.isDestroyed) this.#handler!.data(typeof text === "string" ? bytesOf(text) : text);
  }

  receiveEnd(): void {
    this.#handler!.end();
  }

  drained(): void {
    this.isWritable = true;
    this.#handler!.drain();
  }
}
