/** The body of a platform `Request`, which can be read once, made readable once per attempt while what was read is small. */
import { MeshError } from "../errors.ts";
import type { BodySource } from "../wire/message.ts";

/** What is kept for a repeat: most calls between services fit, and a thousand uploads at once do not fill a worker's 128 MB. */
export const maxKeptBytes = 65_536;

/** Answers what `BodySource` is asked about repeats; the bytes are read by platform streams, one per attempt. */
export class PlatformBody implements Pick<BodySource, "whole" | "length" | "isPiped"> {
  readonly length: number | null;
  /** Why the caller's own stream broke off: no attempt is to blame for it. */
  failure: MeshError | null = null;
  readonly #stream: ReadableStream<Uint8Array>;
  #whole: Uint8Array | null;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** Chunks from number `#dropped` on. */
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #dropped = 0;
  #isOver = false;
  #reading: Promise<void> | null = null;
  #attempts = 0;

  /** @param length what a Content-Length promises, null if unknown */
  constructor(stream: ReadableStream<Uint8Array>, whole: Uint8Array | null, length: number | null) {
    this.#stream = stream;
    this.#whole = whole;
    this.length = whole?.length ?? length;
  }

  get whole(): Uint8Array | null {
    if (this.#whole === null && this.#isOver && this.#dropped === 0) this.#whole = joined(this.#kept, this.#keptBytes);
    return this.#whole;
  }

  /** False while another attempt can read it from the start. */
  get isPiped(): boolean {
    return this.#dropped > 0;
  }

  /** The body from its first byte, for one attempt. Nothing is read before somebody pulls. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const attempt = ++this.#attempts;
    let next = 0;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          while (next >= this.#dropped + this.#kept.length && !this.#isOver) await (this.#reading ??= this.#read());
          if (attempt !== this.#attempts || next < this.#dropped)
            return controller.error(new TypeError("The body is being read by another attempt"));
          if (this.failure !== null) return controller.error(this.failure);
          const chunk = this.#kept[next - this.#dropped];
          if (chunk === undefined) return controller.close();
          next++;
          controller.enqueue(chunk);
          if (this.#keptBytes > maxKeptBytes && next === this.#dropped + this.#kept.length) this.#forget();
        },
      },
      // An attempt that never connects must take nothing from one that will.
      { highWaterMark: 0 },
    ) as ReadableStream<Uint8Array<ArrayBuffer>>;
  }

  /** Nobody wants the rest. */
  cancel(reason: unknown): void {
    if (this.#whole !== null || this.#isOver) return;
    this.#isOver = true;
    this.failure ??= new MeshError("ERR_DOWNSTREAM_CLOSED", "The request is over", { cause: reason });
    // A stream that cannot even be cancelled has nothing left to tell us.
    (this.#reader ?? this.#stream).cancel(reason).catch(() => {});
  }

  async #read(): Promise<void> {
    try {
      this.#reader ??= this.#stream.getReader();
      const { done, value } = await this.#reader.read();
      if (done) this.#isOver = true;
      else if (!((value as unknown) instanceof Uint8Array))
        throw new TypeError("The body stream holds something that is not bytes");
      else {
        this.#kept.push(value);
        this.#keptBytes += value.length;
      }
    } catch (cause) {
      this.#isOver = true;
      this.failure ??= new MeshError("ERR_DOWNSTREAM_CLOSED", "The request's own body broke off", { cause });
    } finally {
      this.#reading = null;
    }
  }

  /** From here on there is one reading, the one under way. */
  #forget(): void {
    this.#dropped += this.#kept.length;
    this.#kept = [];
    this.#keptBytes = maxKeptBytes + 1;
  }
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
