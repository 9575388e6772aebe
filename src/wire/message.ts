/**
 * What the wire hands to the stations: messages that are standard `Request`s and `Response`s to whoever asks, and bytes to
 * whoever only forwards them.
 */
import type { HeaderEdits } from "../headers.ts";
import type { MeshError } from "../errors.ts";
import type { RequestHead } from "../exchange.ts";

/** A message body in motion. Delivery starts with `pipe` and happens at most once unless `whole` is set. */
export interface BodySource {
  /** The body, if all of it is in memory already (it can then be read any number of times: a retry is free). */
  readonly whole: Uint8Array | null;
  /** Bytes to come, `null` if unknown (chunked or until close). 0 means no body. */
  readonly length: number | null;
  /** False while no byte has been taken: even a body in motion can then go to another endpoint. Absent: not known. */
  readonly isPiped?: boolean;
  /** Starts delivery into `sink`. Backpressure by the return value of `sink.data` and `resume`. */
  pipe(sink: BodySink): void;
  /** Continues after `sink.data` returned false. */
  resume(): void;
  /** Nobody wants the rest. The connection it came from is drained or closed, as is cheaper and safe. */
  cancel(reason: MeshError): void;
}

export interface BodySink {
  /** False asks the source to hold until `resume`. `chunk` is only valid during the call. */
  data(chunk: Uint8Array): boolean;
  /** The body is complete. `trailers`: name, value, name, value …; null if none. */
  end(trailers: readonly string[] | null): void;
  /** The body is truncated: the receiver must show that downstream, never a clean end. */
  error(reason: MeshError): void;
}

/** A request that arrived on our wire. Everything beyond `head` and `source` is built on first use. */
export interface WireRequest extends Request {
  readonly head: RequestHead;
  readonly source: BodySource;
  /** Copies the received header lines that are neither hop-by-hop nor edited, as raw latin-1 text with CRLF after each. */
  rawHeaders(edits: HeaderEdits): string;
}

/** A response that arrived on our wire, forwarded without materialising anything. */
export interface WireResponse extends Response {
  readonly source: BodySource;
  /** One field by lower-case name without building `Headers`. */
  header(name: string): string | null;
  rawHeaders(edits: HeaderEdits): string;
  /** After 101: the two-way byte stream, still paused. `null` otherwise. */
  readonly tunnel: Tunnel | null;
}

/** An upgraded connection: bytes both ways until one side closes. */
export interface Tunnel {
  /** Bytes that came with the 101 head. */
  readonly early: Uint8Array;
  attach(sink: BodySink): void;
  write(chunk: Uint8Array): boolean;
  onDrain(drained: () => void): void;
  resume(): void;
  end(): void;
  destroy(reason: MeshError): void;
}

/** What a server connection needs of whoever handles a request. `Exchange` fits. */
export interface Reception {
  readonly responseEdits: HeaderEdits;
  bytesReceived: number;
  bytesSent: number;
  status: number;
  /** The client is gone, or broke the protocol inside the body. */
  abort(reason: MeshError): void;
  /** The last byte of the reply was written, or never will be. Called exactly once per reception. */
  finish(): void;
}

/** Handles one request: `respond` is called at most once, synchronously or later. */
export type Receive = (request: WireRequest, respond: (response: Response) => void) => Reception;

/**
 * Bounds of everything a peer can make us hold.
 *
 * @see Envoy edge best practices; RFC 9112 §3 and §5 leave the numbers to the implementation
 */
export interface WireLimits {
  /** @default 100 */
  readonly maxHeaders: number;
  /** All header lines together. @default 16384 */
  readonly maxHeaderBytes: number;
  /** @default 8192 */
  readonly maxTargetBytes: number;
  /** From the first byte of a head to its last. @default 10000 */
  readonly headerTimeoutMs: number;
  /** Between requests on a kept-alive connection from downstream. @default 60000 */
  readonly idleTimeoutMs: number;
  /** No byte of a body either way for so long resets the stream. @default 300000 */
  readonly streamIdleTimeoutMs: number;
  /** Bytes buffered for one slow reader before its source is paused; also what a client may pipeline ahead. @default 65536 */
  readonly highWaterBytes: number;
}

export const wireDefaults: WireLimits = Object.freeze({
  maxHeaders: 100,
  maxHeaderBytes: 16_384,
  maxTargetBytes: 8_192,
  headerTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  streamIdleTimeoutMs: 300_000,
  highWaterBytes: 65_536,
});
