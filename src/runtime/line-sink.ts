/** Lines for stderr, without ever blocking the event loop or growing without bound. */
import { systemCode } from "./socket-errors.ts";

/** A reader this far behind loses lines. */
const MAX_QUEUED_BYTES = 1_048_576;
/** How long a full, non-blocking pipe is left alone. */
const RETRY_MS = 10;
const DRAIN_MS = 1_000;

/** Writes some of `bytes`, later; never blocks. `error` is null if it went well. */
export type WriteBytes = (bytes: Uint8Array, done: (error: unknown, written: number) => void) => void;

export class LineSink {
  readonly #write: WriteBytes;
  #queue: string[] = [];
  #queuedBytes = 0;
  #writing: Uint8Array | null = null;
  #isGone = false;
  #waiting: (() => void)[] = [];
  dropped = 0;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  write(text: string): void {
    // Characters instead of bytes: a bound, not an account.
    if (this.#isGone || this.#queuedBytes + text.length > MAX_QUEUED_BYTES) {
      this.dropped++;
      return;
    }
    this.#queue.push(text);
    this.#queuedBytes += text.length;
    if (this.#writing === null) this.#next();
  }

  /** Resolves when everything is written, or lost; at the latest after a second, for a reader that does not read. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, DRAIN_MS);
      const settled = (): void => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#writing === null) settled();
      else this.#waiting.push(settled);
    });
  }

  #next(): void {
    if (this.#queue.length === 0) {
      for (const settled of this.#waiting.splice(0)) settled();
      return;
    }
    const bytes = new TextEncoder().encode(this.#queue.join(""));
    this.#queue = [];
    this.#writeOut(bytes);
  }

  #writeOut(bytes: Uint8Array): void {
    this.#writing = bytes;
    this.#write(bytes, (error, written) => {
      if (error !== null && systemCode(error) === "EAGAIN") {
        setTimeout(() => this.#writeOut(bytes), RETRY_MS);
        return;
      }
      this.#writing = null;
      this.#queuedBytes = this.#queue.reduce((sum, text) => sum + text.length, 0);
      if (error !== null) {
        // The reader closed its end (EPIPE). The mesh goes on; what it says is lost and counted.
        this.#isGone = true;
        this.dropped += this.#queue.length + 1;
        this.#queue = [];
        this.#next();
        return;
      }
      if (written < bytes.length) this.#writeOut(bytes.subarray(written));
      else this.#next();
    });
  }
}
