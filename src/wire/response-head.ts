/** The head of a response that arrived. */
import { MeshError } from "../errors.ts";
import type { HeaderEdits } from "../headers.ts";
import { KEEP_ALIVE, UPGRADE } from "./fields.ts";
import { bodyFraming, connectionOptions, type ConnectionOptions } from "./framing.ts";
import { HeadLines } from "./head-lines.ts";
import type { RawHead } from "./head-parser.ts";

export class ResponseLines extends HeadLines {
  readonly status: number;
  readonly connection: ConnectionOptions;
  /** Bytes, CHUNKED or UNTIL_CLOSE; 0 where the status or the method allows no body. */
  readonly bodyLength: number;

  /** @throws {MeshError} ERR_UPSTREAM_PROTOCOL */
  constructor(raw: RawHead, isReplyToHead: boolean) {
    super(raw);
    const at = raw.secondFrom;
    this.status =
      (raw.text.charCodeAt(at) - 0x30) * 100 +
      (raw.text.charCodeAt(at + 1) - 0x30) * 10 +
      raw.text.charCodeAt(at + 2) -
      0x30;
    const framing = bodyFraming(this, false);
    if (framing.fault !== null) throw new MeshError("ERR_UPSTREAM_PROTOCOL", framing.fault, { sent: "head" });
    this.connection = connectionOptions(this);
    this.bodyLength = isReplyToHead || isBodiless(this.status) ? 0 : framing.length;
  }

  /** The reason phrase, byte-exact; "" if there is none. */
  get reason(): string {
    return this.raw.text.slice(this.raw.secondFrom + 4, this.raw.secondTo);
  }

  /** RFC 9112 §9.3: whether this connection may carry another request. */
  get isPersistent(): boolean {
    if (this.connection.closes) return false;
    return this.raw.minorVersion === 1 || this.connection.keepsAlive;
  }

  /** Protocol of a 101, or null. */
  get upgrade(): string | null {
    return this.has(UPGRADE) && this.connection.upgrades ? this.get("upgrade") : null;
  }

  /** How long the server says it keeps an idle connection (`Keep-Alive: timeout=5`), or null. */
  get keepAliveMs(): number | null {
    if (!this.has(KEEP_ALIVE)) return null;
    for (const part of this.get("keep-alive")!.split(",")) {
      const [name, value] = part.trim().toLowerCase().split("=");
      const seconds = Number(value);
      if (name === "timeout" && value !== undefined && seconds >= 0) return seconds * 1000;
    }
    return null;
  }

  /** @param dropKind a kind of line that is not forwarded */
  forwarded(edits: HeaderEdits, dropKind: number): string {
    return this.kept(edits, this.connection.named, dropKind);
  }
}

/** RFC 9112 §6.3 (1): these have no body, whatever their fields say. */
export function isBodiless(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}
