/**
 * Heads as text. Received lines are copied as they came; what the mesh adds is checked here, at the last moment, so that no
 * layer can smuggle a line end into somebody's parser by mistake.
 */
import { MeshError } from "../errors.ts";
import { HeaderEdits } from "../headers.ts";
import { isFieldValue, isToken } from "./chars.ts";
import { CONTENT_LENGTH, DATE, hopByHopNames, OTHER } from "./fields.ts";
import type { RequestMessage } from "./request.ts";
import type { ResponseMessage } from "./response.ts";

/** Lines that frame or address a message: written from facts, never from an edit. */
const framingNames: ReadonlySet<string> = new Set([...hopByHopNames, "content-length", "host"]);

/** One line. @throws {MeshError} ERR_INTERNAL if it would be more than that */
export function fieldLine(name: string, value: string): string {
  if (!isToken(name) || !isFieldValue(value)) {
    throw new MeshError(
      "ERR_INTERNAL",
      `Refusing to write the header "${name}": its name or value holds bytes that no header may hold`,
    );
  }
  return `${name}: ${value}\r\n`;
}

/** What layers add, without what only the wire may say. */
function addedLines(edits: HeaderEdits): string {
  const { added } = edits;
  if (added === null) return "";
  let lines = "";
  for (let i = 0; i < added.length; i += 2) {
    const name = added[i]!;
    const value = added[i + 1]!;
    if (plainNames.has(name) && isFieldValue(value)) lines += `${name}: ${value}\r\n`;
    else if (!framingNames.has(name.toLowerCase())) {
      lines += fieldLine(name, value);
      if (plainNames.size < MAX_PLAIN_NAMES) plainNames.add(name);
    }
  }
  return lines;
}

/** Names that layers added before: tokens, and not about framing. They come from code and config, so there are few. */
const plainNames = new Set<string>();
const MAX_PLAIN_NAMES = 256;

/** The last value an edit gives a field, or null. */
export function addedValue(edits: HeaderEdits, name: string): string | null {
  const { added } = edits;
  if (added === null) return null;
  for (let i = added.length - 2; i >= 0; i -= 2) if (added[i]!.toLowerCase() === name) return added[i + 1]!;
  return null;
}

/** The facts of a request about to be sent, beside its own lines. */
export interface OutgoingRequest {
  readonly target: string;
  /** Replaces the received `Host`; null keeps it. */
  readonly authority: string | null;
  readonly edits: HeaderEdits;
  /** Bytes of the body, null for chunked; 0 for none. */
  readonly bodyLength: number | null;
  /** Meshed hops with this one; 0 for a client of the mesh's own, which starts no chain. */
  readonly hops: number;
}

/** Head of a request that arrived on our wire, as it goes on. */
export function forwardedRequestHead(message: RequestMessage, out: OutgoingRequest): string {
  const { head } = message;
  const { edits } = out;
  const host =
    out.authority ?? addedValue(edits, "host") ?? (head.isAbsolute || edits.isRemoved("host") ? head.authority : null);
  let text = `${head.method} ${out.target} HTTP/1.1\r\n`;
  if (host !== null) text += fieldLine("host", host);
  text += head.forwarded(edits, host === null) + addedLines(edits);
  if (out.bodyLength === null) text += "transfer-encoding: chunked\r\n";
  // A chunked body that arrived whole goes on with its length.
  else if (!head.has(CONTENT_LENGTH) && out.bodyLength > 0) text += `content-length: ${out.bodyLength}\r\n`;
  if (head.takesTrailers) text += "te: trailers\r\n";
  const { upgrade } = head;
  if (upgrade !== null) text += `connection: Upgrade\r\nupgrade: ${upgrade}\r\n`;
  return `${text}x-mesh-hops: ${out.hops}\r\n\r\n`;
}

/** Head of a platform `Request`. @param authority for `Host`, where nothing replaces it */
export function platformRequestHead(request: Request, authority: string, out: OutgoingRequest): string {
  const { edits } = out;
  const host = out.authority ?? addedValue(edits, "host") ?? authority;
  let text = `${fieldSafe(request.method)} ${fieldSafe(out.target)} HTTP/1.1\r\n${fieldLine("host", host)}`;
  for (const [name, value] of request.headers) {
    if (!framingNames.has(name) && !edits.isRemoved(name)) text += fieldLine(name, value);
  }
  text += addedLines(edits);
  if (out.bodyLength === null) text += "transfer-encoding: chunked\r\n";
  // A method that usually brings a body says that it brings none (RFC 9110 §8.6).
  else if (out.bodyLength > 0 || request.method === "POST" || request.method === "PUT")
    text += `content-length: ${out.bodyLength}\r\n`;
  return out.hops === 0 ? `${text}\r\n` : `${text}x-mesh-hops: ${out.hops}\r\n\r\n`;
}

/** A part of the first line: one word of visible bytes. */
function fieldSafe(word: string): string {
  if (word === "" || !isFieldValue(word) || word.includes(" ") || word.includes("\t"))
    throw new MeshError("ERR_INTERNAL", "Refusing to write a request line with blanks or control bytes in it");
  return word;
}

/** How the body of a reply goes out. */
export const NO_BODY = 0;
export const WITH_LENGTH = 1;
export const IN_CHUNKS = 2;
export const UNTIL_END = 3;

/** The facts of a reply about to be sent, beside its own lines. */
export interface OutgoingReply {
  readonly edits: HeaderEdits | null;
  readonly mode: number;
  /** With WITH_LENGTH. */
  readonly bodyLength: number;
  readonly closes: boolean;
  readonly date: string;
}

/** Head of a response that arrived on our wire, as it goes on. */
export function forwardedResponseHead(message: ResponseMessage, out: OutgoingReply): string {
  const { head } = message;
  const { raw } = head;
  const edits = out.edits ?? noEdits;
  // 204 cannot have a length whatever it says (RFC 9110 §8.6); chunks and a length would be two lengths.
  const dropsLength = out.mode === IN_CHUNKS || out.mode === UNTIL_END || head.status === 204;
  const first = raw.text.slice(raw.secondFrom, raw.secondTo);
  let text = first.length > 3 ? `HTTP/1.1 ${first}\r\n` : `HTTP/1.1 ${first} \r\n`;
  text += head.forwarded(edits, dropsLength ? CONTENT_LENGTH : OTHER - 1) + addedLines(edits);
  if (out.mode === WITH_LENGTH && !head.has(CONTENT_LENGTH)) text += `content-length: ${out.bodyLength}\r\n`;
  if (!head.has(DATE) || edits.isRemoved("date")) text += `date: ${out.date}\r\n`;
  return text + tail(out);
}

/** Reason phrases of the statuses a mesh itself answers with; whoever reads a trace with curl expects them. */
const reasons: ReadonlyMap<number, string> = new Map([
  [200, "OK"],
  [201, "Created"],
  [204, "No Content"],
  [304, "Not Modified"],
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [408, "Request Timeout"],
  [409, "Conflict"],
  [413, "Content Too Large"],
  [414, "URI Too Long"],
  [417, "Expectation Failed"],
  [422, "Unprocessable Content"],
  [429, "Too Many Requests"],
  [431, "Request Header Fields Too Large"],
  [500, "Internal Server Error"],
  [501, "Not Implemented"],
  [502, "Bad Gateway"],
  [503, "Service Unavailable"],
  [504, "Gateway Timeout"],
  [505, "HTTP Version Not Supported"],
  [508, "Loop Detected"],
]);

/** Head of a platform `Response`. */
export function platformResponseHead(response: Response, out: OutgoingReply): string {
  const edits = out.edits ?? noEdits;
  const { status, statusText } = response;
  const reason = statusText !== "" && isFieldValue(statusText) ? statusText : (reasons.get(status) ?? "");
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  let hasDate = false;
  let hasLength = false;
  for (const [name, value] of response.headers) {
    if (edits.isRemoved(name) || hopByHopNames.has(name)) continue;
    if (name === "content-length") {
      // Kept where it describes a body that is not sent (HEAD, 304); else the wire knows better.
      if (out.mode !== NO_BODY || status === 204) continue;
      hasLength = true;
    }
    if (name === "date") hasDate = true;
    text += fieldLine(name, value);
  }
  text += addedLines(edits);
  if (out.mode === WITH_LENGTH && !hasLength) text += `content-length: ${out.bodyLength}\r\n`;
  if (!hasDate) text += `date: ${out.date}\r\n`;
  return text + tail(out);
}

function tail(out: OutgoingReply): string {
  const coding = out.mode === IN_CHUNKS ? "transfer-encoding: chunked\r\n" : "";
  return out.closes ? `${coding}connection: close\r\n\r\n` : `${coding}\r\n`;
}

/** Trailers as lines; what cannot be one is left out, as a body cannot be refused any more. */
export function trailerLines(trailers: readonly string[]): string {
  let lines = "";
  for (let i = 0; i < trailers.length; i += 2) {
    if (isToken(trailers[i]!) && isFieldValue(trailers[i + 1]!)) lines += `${trailers[i]}: ${trailers[i + 1]}\r\n`;
  }
  return lines;
}

/** Nothing changed. Shared: never add to it. */
export const noEdits: HeaderEdits = new HeaderEdits();

let dateSecond = -1;
let dateText = "";

/** `Date` of now (RFC 9110 §6.6.1), made once a second. */
export function httpDate(epochMs: number): string {
  const second = Math.floor(epochMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(epochMs).toUTCString();
  }
  return dateText;
}
