/** Cuts one message body out of a byte stream: never a byte past its end, never a clean end before it. */
import { MeshError } from "../errors.ts";
import { ChunkedDecoder } from "./chunked-decoder.ts";
import { CHUNKED, UNTIL_CLOSE } from "./framing.ts";

export class BodyReader {
  readonly #chunks: ChunkedDecoder | null;
  /** Bytes still to come; Infinity until close. */
  #left: number;
  /** Data of the chunk being read: where it stands, and how much. */
  #from = 0;
  #to = 0;
  #runs: Uint8Array[] | null = null;
  #chunk: Uint8Array | null = null;
  bytesRead = 0;

  /** @param length bytes, CHUNKED or UNTIL_CLOSE */
  constructor(length: number, maxTrailerBytes: number) {
    this.#chunks = length === CHUNKED ? new ChunkedDecoder(maxTrailerBytes) : null;
    this.#left = length === UNTIL_CLOSE ? Infinity : length;
  }

  get isComplete(): boolean {
    return this.#chunks === null ? this.#left === 0 : this.#chunks.isComplete;
  }

  get trailers(): readonly string[] | null {
    return this.#chunks === null ? null : this.#chunks.trailers;
  }

  /**
   * Reads on at `chunk[from]`, returns the index behind what belongs to the body. `data` then holds what was found: one piece
   * however many chunks it came in, so that one read becomes one write.
   *
   * @throws {MeshError} the framing is broken
   */
  feed(chunk: Uint8Array, from: number): number {
    if (this.#chunks === null) {
      const to = Math.min(chunk.length, from + this.#left);
      this.#chunk = chunk;
      this.#from = from;
      this.#to = to;
      this.#left -= to - from;
      this.bytesRead += to - from;
      return to;
    }
    this.#chunk = chunk;
    this.#from = this.#to = 0;
    this.#runs = null;
    const next = this.#chunks.feed(chunk, from, this.#take);
    this.bytesRead += this.data.length;
    return next;
  }

  readonly #take = (from: number, to: number): void => {
    if (this.#to === 0) {
      this.#from = from;
      this.#to = to;
      return;
    }
    this.#runs ??= [this.#chunk!.subarray(this.#from, this.#to)];
    this.#runs.push(this.#chunk!.subarray(from, to));
  };

  /** What the last `feed` found. Only valid until the next. */
  get data(): Uint8Array {
    if (this.#runs !== null) {
      let length = 0;
      for (const run of this.#runs) length += run.length;
      const joined = new Uint8Array(length);
      let at = 0;
      for (const run of this.#runs) {
        joined.set(run, at);
        at += run.length;
      }
      this.#runs = null;
      this.#chunk = joined;
      this.#from = 0;
      this.#to = length;
    }
    const chunk = this.#chunk!;
    return this.#from === 0 && this.#to === chunk.length ? chunk : chunk.subarray(this.#from, this.#to);
  }

  /** The connection ended: null if the body is complete by that, else what is missing. */
  close(): MeshError | null {
    if (this.#left === Infinity) {
      this.#left = 0;
      return null;
    }
    if (this.isComplete) return null;
    return new MeshError("ERR_UPSTREAM_RESET", "The connection closed inside the body", { sent: "head" });
  }
}
