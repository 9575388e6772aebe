/** Bridges between our bodies (callbacks, no promise per chunk) and Web Streams, for those who ask for one. */
import { MeshError } from "../errors.ts";
import type { BodySink, BodySource } from "./message.ts";

/** A body as a byte stream. Reading starts with the first pull. */
export function streamOf(source: BodySource): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream(new SourceStream(source), { highWaterMark: 0 });
}

class SourceStream implements UnderlyingDefaultSource<Uint8Array<ArrayBuffer>>, BodySink {
  readonly #source: BodySource;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | null = null;
  #isPiped = false;
  #pulled: (() => void) | null = null;

  constructor(source: BodySource) {
    this.#source = source;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): void {
    this.#controller = controller;
  }

  pull(): Promise<void> {
    return new Promise((resolve) => {
      this.#pulled = resolve;
      if (this.#isPiped) return this.#source.resume();
      this.#isPiped = true;
      this.#source.pipe(this);
    });
  }

  cancel(reason: unknown): void {
    this.#source.cancel(new MeshError("ERR_DOWNSTREAM_CLOSED", "The reader of the body went away", { cause: reason }));
  }

  data(chunk: Uint8Array): boolean {
    this.#controller?.enqueue(chunk.slice());
    this.#settle();
    // One chunk per pull: the stream has no queue of its own, so the source's limits are the only ones.
    return false;
  }

  end(): void {
    this.#controller?.close();
    this.#controller = null;
    this.#settle();
  }

  error(reason: MeshError): void {
    this.#controller?.error(reason);
    this.#controller = null;
    this.#settle();
  }

  #settle(): void {
    const pulled = this.#pulled;
    this.#pulled = null;
    pulled?.();
  }
}

/** A Web Stream as a body. */
export class StreamBody implements BodySource {
  readonly whole: null = null;
  readonly length: number | null;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #sink: BodySink | null = null;
  #isReading = false;
  #isHeld = false;
  #isOver = false;

  /** @param length what a Content-Length promises, null if unknown */
  constructor(stream: ReadableStream<Uint8Array>, length: number | null) {
    this.#reader = stream.getReader();
    this.length = length;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    void this.#read();
  }

  resume(): void {
    this.#isHeld = false;
    void this.#read();
  }

  cancel(reason: MeshError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // A stream that cannot even be cancelled has nothing left to tell us.
    this.#reader.cancel(reason).catch(() => {});
  }

  async #read(): Promise<void> {
    if (this.#isReading || this.#isOver) return;
    this.#isReading = true;
    try {
      while (!this.#isHeld && !this.#isOver) {
        const { done, value } = await this.#reader.read();
        if (this.#isOver) return;
        if (done) {
          this.#isOver = true;
          this.#sink!.end(null);
        } else if (!(value instanceof Uint8Array)) {
          throw new TypeError("The body stream holds something that is not bytes");
        } else if (value.length > 0 && !this.#sink!.data(value)) {
          this.#isHeld = true;
        }
      }
    } catch (error) {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#reader.cancel(error).catch(() => {});
      this.#sink!.error(MeshError.from(error));
    } finally {
      this.#isReading = false;
    }
  }
}
