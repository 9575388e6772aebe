/** The head of a request that arrived: refused here if it could mean two things, readable without `Headers` or `URL` after. */
import { MeshError } from "../errors.ts";
import type { RequestHead } from "../exchange.ts";
import type { HeaderEdits } from "../headers.ts";
import { parseAuthority } from "./authority.ts";
import { AUTHORIZATION, EXPECT, HOPS, HOST, OTHER, TE, UPGRADE } from "./fields.ts";
import { bodyFraming, connectionOptions, type ConnectionOptions } from "./framing.ts";
import { HeadLines } from "./head-lines.ts";
import type { RawHead } from "./head-parser.ts";
import { isKnownMethod } from "./methods.ts";

export class RequestLines extends HeadLines implements RequestHead {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  /** Where the request line named the authority (absolute-form) the received `Host` is not forwarded. */
  readonly isAbsolute: boolean;
  readonly connection: ConnectionOptions;
  /** Bytes, or CHUNKED. */
  readonly bodyLength: number;
  readonly minorVersion: number;
  readonly #queryAt: number;

  /** @throws {MeshError} whose code says which reply it deserves */
  constructor(raw: RawHead) {
    super(raw);
    this.minorVersion = raw.minorVersion;
    const method = raw.text.slice(raw.firstFrom, raw.firstTo);
    this.method = method;
    if (method === "CONNECT") {
      throw new MeshError("ERR_METHOD_NOT_ALLOWED", "CONNECT is not served here", {
        advice:
          "Call services as http://NAME: the mesh encrypts. What is https already goes its own way, without this proxy (NO_PROXY)",
      });
    }
    if (method === "TRACE") throw new MeshError("ERR_METHOD_NOT_ALLOWED", "TRACE is not served here");
    if (!isKnownMethod(method)) throw new MeshError("ERR_METHOD_NOT_IMPLEMENTED", "The request method is not known");

    const hosts = this.countOfKind(HOST);
    if (hosts > 1) throw malformed("More than one Host line");
    // HTTP/1.0 had no Host; the authority is then unknown, not guessed.
    let authority: string | null = "";
    if (hosts === 1) authority = parseAuthority(this.ofKind(HOST)!, 80);
    else if (raw.minorVersion === 1) throw malformed("No Host line");
    if (authority === null) throw malformed("Host is not a host name and port");

    // RFC 9110 §5.3: not a list. One runtime's server takes the first line, another joins them: who is asking would be a choice.
    if (this.countOfKind(AUTHORIZATION) > 1) throw malformed("More than one Authorization line");

    const received = raw.text.slice(raw.secondFrom, raw.secondTo);
    this.isAbsolute = false;
    if (received.charCodeAt(0) === 0x2f) this.target = received;
    else if (received === "*" && method === "OPTIONS") this.target = received;
    else {
      const absolute = splitAbsolute(received, method);
      if (absolute === null) throw malformed("Request target is neither a path nor an http URL");
      this.isAbsolute = true;
      this.target = absolute.target;
      // RFC 9112 §3.2.2: what the URL says replaces what Host says.
      authority = absolute.authority;
    }
    this.authority = authority;
    this.#queryAt = this.target.indexOf("?");

    const framing = bodyFraming(this, true);
    if (framing.fault !== null)
      throw framing.isUnknownCoding
        ? new MeshError("ERR_METHOD_NOT_IMPLEMENTED", framing.fault)
        : malformed(framing.fault);
    this.bodyLength = framing.length;
    this.connection = connectionOptions(this);
    if (this.has(EXPECT) && raw.minorVersion === 1 && this.get("expect")!.toLowerCase() !== "100-continue") {
      throw new MeshError("ERR_EXPECTATION_FAILED", "Only the expectation 100-continue is known");
    }
  }

  get path(): string {
    return this.#queryAt < 0 ? this.target : this.target.slice(0, this.#queryAt);
  }

  get query(): string {
    return this.#queryAt < 0 ? "" : this.target.slice(this.#queryAt + 1);
  }

  /** The client waits for a word before it sends its body (an HTTP/1.0 client cannot, RFC 9110 §10.1.1). */
  get expectsContinue(): boolean {
    return this.has(EXPECT) && this.minorVersion === 1;
  }

  /**
   * The protocol this request wants to change to, or null. Never h2c: a tunnel would carry requests past every rule made here.
   *
   * @see RFC 9110 §7.8 (needs the connection option, HTTP/1.1); BishopFox, h2c smuggling
   */
  get upgrade(): string | null {
    if (!this.has(UPGRADE) || !this.connection.upgrades || this.minorVersion === 0 || this.bodyLength !== 0)
      return null;
    const protocol = this.get("upgrade")!;
    return protocol === "" || protocol.toLowerCase().includes("h2c") ? null : protocol;
  }

  /** True if the client can take trailers. */
  get takesTrailers(): boolean {
    return this.has(TE) && this.get("te")!.toLowerCase().includes("trailers");
  }

  /** Meshed hops behind this request; Infinity if the count is not a number, which only a liar sends. */
  get hops(): number {
    if (!this.has(HOPS)) return 0;
    const text = this.get("x-mesh-hops")!;
    const hops = Number(text);
    return text !== "" && Number.isInteger(hops) && hops >= 0 ? hops : Infinity;
  }

  /** @param keepsHost false where another `Host` is written */
  forwarded(edits: HeaderEdits, keepsHost: boolean): string {
    return this.kept(edits, this.connection.named, keepsHost ? OTHER_KEPT : HOST);
  }
}

/** `kept` drops lines of one kind; this drops none. */
const OTHER_KEPT: number = OTHER - 1;

function splitAbsolute(received: string, method: string): { authority: string; target: string } | null {
  const schemeEnd = received.indexOf("://");
  if (schemeEnd !== 4 && schemeEnd !== 5) return null;
  const scheme = received.slice(0, schemeEnd).toLowerCase();
  if (scheme !== "http" && scheme !== "https") return null;
  const from = schemeEnd + 3;
  let to = from;
  while (to < received.length && received.charCodeAt(to) !== 0x2f && received.charCodeAt(to) !== 0x3f) to++;
  const authority = parseAuthority(received.slice(from, to), scheme === "http" ? 80 : 443);
  if (authority === null) return null;
  const rest = received.slice(to);
  if (rest === "") return { authority, target: method === "OPTIONS" ? "*" : "/" };
  return { authority, target: rest.charCodeAt(0) === 0x2f ? rest : `/${rest}` };
}

function malformed(message: string): MeshError {
  return new MeshError("ERR_REQUEST_MALFORMED", message);
}
