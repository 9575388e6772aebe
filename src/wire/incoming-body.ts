/** The body of a message that is arriving: between the connection that reads it and whoever wants it, holding back either. */
import type { MeshError } from "../errors.ts";
import { noBytes } from "./latin1.ts";
import type { BodySink, BodySource } from "./message.ts";

/** The connection a body arrives on. */
export interface BodyOwner {
  /** Somebody takes the body from now on. Called once, before the first byte is delivered. */
  bodyWanted(): void;
  /** Stop reading from the socket / go on. */
  holdBody(): void;
  continueBody(): void;
  /** Nobody wants the rest. */
  bodyCancelled(reason: MeshError): void;
}

/** A message without a body, or whose body came with its head. */
export class WholeBody implements BodySource {
  readonly whole: Uint8Array;
  readonly #trailers: readonly string[] | null;

  constructor(whole: Uint8Array, trailers: readonly string[] | null) {
    this.whole = whole;
    this.#trailers = trailers;
  }

  get length(): number {
    return this.whole.length;
  }

  get trailers(): readonly string[] | null {
    return this.#trailers;
  }

  pipe(sink: BodySink): void {
    // One piece: whether the sink wants a pause before the end makes no difference.
    if (this.whole.length > 0) sink.data(this.whole);
    sink.end(this.#trailers);
  }

  resume(): void {}

  cancel(): void {}
}

export const emptyBody: WholeBody = new WholeBody(noBytes, null);

/** A body that is still arriving. */
export class IncomingBody implements BodySource {
  readonly whole: null = null;
  readonly length: number | null;
  readonly #owner: BodyOwner;
  /** Bytes that may wait here before the socket is told to stop; what one read brings on top is inevitable. */
  readonly #highWaterBytes: number;
  #sink: BodySink | null = null;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isFlowing = true;
  #isOver = false;
  #isCancelled = false;
  #trailers: readonly string[] | null = null;
  #error: MeshError | null = null;

  /** @param length bytes to come, null if unknown */
  constructor(owner: BodyOwner, length: number | null, highWaterBytes: number) {
    this.#owner = owner;
    this.length = length;
    this.#highWaterBytes = highWaterBytes;
  }

  /** True while a sink is attached and the body was not given up. */
  get isWanted(): boolean {
    return this.#sink !== null && !this.#isCancelled;
  }

  get isPiped(): boolean {
    return this.#sink !== null || this.#isCancelled;
  }

  // From the connection.

  push(chunk: Uint8Array): void {
    if (this.#isCancelled || chunk.length === 0) return;
    if (this.#sink !== null && this.#isFlowing && this.#held.length === 0) {
      if (!this.#sink.data(chunk)) this.#pause();
      return;
    }
    // The chunk belongs to the socket; what waits needs its own copy.
    this.#held.push(chunk.slice());
    this.#heldBytes += chunk.length;
    if (this.#heldBytes >= this.#highWaterBytes) this.#owner.holdBody();
  }

  finish(trailers: readonly string[] | null): void {
    this.#trailers = trailers;
    this.#isOver = true;
    // What made us hold was this body: whatever follows it on the connection must not wait for a reader who is done.
    this.#owner.continueBody();
    this.#deliverEnd();
  }

  /** The body will not be complete. What is held is dropped: a truncated body is of no use sooner or later. */
  fail(reason: MeshError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = reason;
    this.#held = [];
    this.#deliverEnd();
  }

  // From whoever wants it.

  pipe(sink: BodySink): void {
    this.#sink = sink;
    if (this.#isCancelled) return;
    if (!this.#isOver) this.#owner.bodyWanted();
    this.#flush();
  }

  resume(): void {
    if (this.#isFlowing || this.#isCancelled) return;
    this.#isFlowing = true;
    this.#flush();
  }

  cancel(reason: MeshError): void {
    if (this.#isCancelled) return;
    this.#isCancelled = true;
    this.#held = [];
    this.#heldBytes = 0;
    if (!this.#isOver) this.#owner.bodyCancelled(reason);
  }

  #pause(): void {
    this.#isFlowing = false;
    if (!this.#isOver) this.#owner.holdBody();
  }

  #flush(): void {
    while (this.#held.length > 0) {
      const chunk = this.#held.shift()!;
      this.#heldBytes -= chunk.length;
      if (this.#sink!.data(chunk)) continue;
      this.#pause();
      return;
    }
    if (this.#isOver) this.#deliverEnd();
    else this.#owner.continueBody();
  }

  #deliverEnd(): void {
    const sink = this.#sink;
    if (sink === null || this.#isCancelled) return;
    if (this.#error !== null) sink.error(this.#error);
    else if (this.#held.length === 0) sink.end(this.#trailers);
  }
}
