/** Writes down what happens on a socket, and fails on anything the contract forbids. */
import assert from "node:assert/strict";
import type { ByteSocket, SocketHandler } from "../../src/runtime/contract.ts";

export class Recorder implements SocketHandler {
  readonly socket: ByteSocket;
  readonly chunks: Buffer[] = [];
  bytes = 0;
  drains = 0;
  ends = 0;
  closes = 0;
  error: Error | undefined;
  /** Broken rules; every test ends by looking here. */
  readonly violations: string[] = [];
  keepsChunks = true;
  onData: ((chunk: Uint8Array) => void) | undefined;
  onDrain: (() => void) | undefined;
  onEnd: (() => void) | undefined;
  readonly #waiting: { readonly isDone: () => boolean; readonly resolve: () => void }[] = [];
  #isInside = false;

  constructor(socket: ByteSocket) {
    this.socket = socket;
    socket.attach(this);
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }

  data(chunk: Uint8Array): void {
    this.#note("data", () => {
      if (this.ends > 0) this.violations.push("data after end");
      // Copied, because the contract says so.
      if (this.keepsChunks) this.chunks.push(Buffer.from(chunk));
      this.bytes += chunk.length;
      this.onData?.(chunk);
    });
  }

  drain(): void {
    this.#note("drain", () => {
      this.drains++;
      this.onDrain?.();
    });
  }

  end(): void {
    this.#note("end", () => {
      this.ends++;
      if (this.ends > 1) this.violations.push("end twice");
      this.onEnd?.();
    });
  }

  close(error?: Error): void {
    this.#note("close", () => {
      this.closes++;
      this.error = error;
    });
  }

  /** Resolves as soon as `isDone`; rejects with what was seen instead. */
  async until(isDone: () => boolean, what: string): Promise<void> {
    if (isDone()) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const seen = (): string =>
        `${this.bytes} bytes, ${this.ends} ends, ${this.closes} closes, error: ${this.error?.message}`;
      timer = setTimeout(() => reject(new Error(`waited for ${what}, saw ${seen()}`)), 10_000);
    });
    const done = new Promise<void>((resolve) => this.#waiting.push({ isDone, resolve }));
    await Promise.race([done, late]).finally(() => clearTimeout(timer));
  }

  closed(): Promise<void> {
    return this.until(() => this.closes > 0, "close");
  }

  ended(): Promise<void> {
    return this.until(() => this.ends > 0, "end");
  }

  received(bytes: number): Promise<void> {
    return this.until(() => this.bytes >= bytes, `${bytes} bytes`);
  }

  /** Closed exactly once, and nothing else went wrong. */
  check(): void {
    assert.deepEqual(this.violations, []);
    assert.equal(this.closes, 1);
  }

  #note(event: string, action: () => void): void {
    if (this.closes > 0) this.violations.push(`${event} after close`);
    if (this.#isInside) this.violations.push(`${event} inside another event`);
    this.#isInside = true;
    try {
      action();
    } finally {
      this.#isInside = false;
      for (const one of this.#waiting) if (one.isDone()) one.resolve();
    }
  }
}
