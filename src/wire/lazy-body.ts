/** The `Body` half of the fetch standard over a body of ours: nothing is built until a method is called. */
import { streamOf } from "./body-stream.ts";
import type { BodySource } from "./message.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export class LazyBody {
  readonly source: BodySource;
  /** The message can have no body at all (`body` is then null, as the platform has it). */
  readonly #isNull: boolean;
  #stream: ReadableStream<Bytes> | null = null;
  #isUsed = false;

  constructor(source: BodySource, isNull: boolean) {
    this.source = source;
    this.#isNull = isNull;
  }

  get stream(): ReadableStream<Bytes> | null {
    if (this.#isNull) return null;
    return (this.#stream ??= streamOf(this.source));
  }

  /** True if Web Streams have the body now: whoever forwards it must take it from there. */
  get isStreamed(): boolean {
    return this.#stream !== null;
  }

  get isUsed(): boolean {
    return this.#isUsed || (this.#stream?.locked ?? false);
  }

  /** Takes the body as a platform `Response`, whose methods then do the reading. */
  take(contentType: string | null): Response {
    if (this.isUsed) throw new TypeError("The body has been read already");
    this.#isUsed = true;
    const headers: Record<string, string> = contentType === null ? {} : { "content-type": contentType };
    const body = this.#stream ?? (this.#isNull ? null : ((this.source.whole as Bytes | null) ?? this.stream));
    return new Response(body, { headers });
  }

  /** A second reader of the same body: both see all of it, at the pace of the slower. */
  tee(): ReadableStream<Bytes> | null {
    if (this.isUsed) throw new TypeError("The body has been read already");
    const { stream } = this;
    if (stream === null) return null;
    const [mine, theirs] = stream.tee();
    this.#stream = mine;
    return theirs;
  }
}
