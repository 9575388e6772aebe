/**
 * HTTP as bytes, from both ends: a client that writes exactly what it is told, and an upstream that keeps every byte and reads
 * it strictly. Neither shares a line with the wire under test, so both cannot be wrong in the same way.
 */
import { connect, createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TlsIdentity, TlsTrust } from "../../src/runtime/contract.ts";
import { delay, eventually } from "./ports.ts";

export interface Message {
  readonly startLine: string;
  /** Names in lower case, every line on its own. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  readonly trailers: readonly (readonly [string, string])[];
}

export interface RawReply extends Message {
  readonly status: number;
}

/** Every value of a field, in order. */
export function valuesOf(message: Pick<Message, "fields">, name: string): string[] {
  return message.fields.filter(([key]) => key === name).map(([, value]) => value);
}

/** One message at the start of `text` and what is behind it; null if it is not complete. @throws on anything RFC 9112 calls invalid */
export function readMessage(
  text: string,
  hasBody: (startLine: string) => boolean,
  isClosed = false,
): { message: Message; rest: string } | null {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const [startLine = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const fields = lines.map(readField);
  const rest = text.slice(headEnd + 4);
  const lengths = valuesOf({ fields }, "content-length");
  const codings = valuesOf({ fields }, "transfer-encoding");
  if (lengths.length + codings.length > 1) throw new Error(`ambiguous framing: ${text.slice(0, headEnd)}`);
  const done = (
    body: string,
    behind: string,
    trailers: Message["trailers"] = [],
  ): { message: Message; rest: string } => ({
    message: { startLine, fields, body, trailers },
    rest: behind,
  });
  if (!hasBody(startLine)) return done("", rest);
  if (lengths.length === 1) {
    if (!/^\d+$/.test(lengths[0]!)) throw new Error(`content-length: ${lengths[0]}`);
    const length = Number(lengths[0]);
    return rest.length < length ? null : done(rest.slice(0, length), rest.slice(length));
  }
  if (codings.length === 0) return startLine.startsWith("HTTP/") ? (isClosed ? done(rest, "") : null) : done("", rest);
  if (codings[0]!.toLowerCase() !== "chunked") throw new Error(`transfer-encoding: ${codings[0]}`);
  let body = "";
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const size = rest.slice(at, lineEnd).split(";")[0]!;
    if (!/^[0-9a-fA-F]{1,8}$/.test(size)) throw new Error(`chunk size: ${JSON.stringify(size)}`);
    const length = Number.parseInt(size, 16);
    at = lineEnd + 2;
    if (length === 0) {
      if (rest.startsWith("\r\n", at)) return done(body, rest.slice(at + 2));
      const end = rest.indexOf("\r\n\r\n", at);
      return end < 0 ? null : done(body, rest.slice(end + 4), rest.slice(at, end).split("\r\n").map(readField));
    }
    if (rest.length < at + length + 2) return null;
    if (!rest.startsWith("\r\n", at + length)) throw new Error("no CRLF behind a chunk");
    body += rest.slice(at, at + length);
    at += length + 2;
  }
}

function readField(line: string): readonly [string, string] {
  const found = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*$/.exec(line);
  if (found === null) throw new Error(`header line: ${JSON.stringify(line)}`);
  return [found[1]!.toLowerCase(), found[2]!];
}

export interface RawClientOptions {
  /** Speaks TLS as this peer; without `identity`, as nobody. */
  readonly tls?: { readonly identity?: TlsIdentity; readonly trust: TlsTrust };
}

export interface RawClient {
  readonly socket: Socket;
  /** All that was received, latin-1. */
  readonly text: string;
  readonly isClosed: boolean;
  readonly error: Error | undefined;
  write(bytes: string | Uint8Array): void;
  /** Each part as a write of its own, with a turn of the event loop in between. */
  writeParts(parts: Iterable<string>): Promise<void>;
  /** The next reply that is not interim, removed from `text`. `hasBody` false for an answer to HEAD. */
  reply(options?: { readonly hasBody?: boolean; readonly timeoutMs?: number }): Promise<RawReply>;
  closed(timeoutMs?: number): Promise<void>;
  destroy(): void;
}

/** @throws what the handshake failed with */
export async function rawClient(address: string, options: RawClientOptions = {}): Promise<RawClient> {
  const colon = address.lastIndexOf(":");
  const at = { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  const { tls } = options;
  const socket: Socket =
    tls === undefined
      ? connect(at)
      : connectTls({
          ...at,
          ca: [...tls.trust.rootsPem],
          ...(tls.identity !== undefined && {
            cert: tls.identity.certificateChainPem,
            key: tls.identity.privateKeyPem,
          }),
          checkServerIdentity: () => undefined,
        });
  const state = { text: "", isClosed: false, error: undefined as Error | undefined };
  socket.setNoDelay(true);
  socket.on("data", (bytes: Buffer) => void (state.text += bytes.toString("latin1")));
  socket.on("error", (error) => void (state.error ??= error));
  socket.on("close", () => void (state.isClosed = true));
  socket.on("end", () => void (state.isClosed = true));
  await new Promise<void>((resolve, reject) => {
    socket.once(tls === undefined ? "connect" : "secureConnect", () => resolve());
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed before it was open")));
  });
  return {
    socket,
    get text() {
      return state.text;
    },
    get isClosed() {
      return state.isClosed;
    },
    get error() {
      return state.error;
    },
    write: (bytes) => void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    async writeParts(parts) {
      for (const part of parts) {
        if (state.isClosed) return;
        socket.write(Buffer.from(part, "latin1"));
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async reply({ hasBody = true, timeoutMs = 5_000 } = {}) {
      const isFull = (startLine: string): boolean => hasBody && !/^HTTP\/1\.1 (?:1..|204|304) /.test(startLine);
      for (;;) {
        const { message, rest } = await eventually(
          "a reply",
          () => readMessage(state.text, isFull, state.isClosed) ?? undefined,
          timeoutMs,
          2,
        ).catch((error: unknown) => {
          throw new Error(`no reply but ${JSON.stringify(state.text.slice(0, 500))}, closed: ${state.isClosed}`, {
            cause: error,
          });
        });
        state.text = rest;
        const status = Number(message.startLine.slice(9, 12));
        if (status >= 200 || status === 101) return { ...message, status };
      }
    },
    closed: async (timeoutMs = 5_000) =>
      void (await eventually("the connection is closed", () => state.isClosed, timeoutMs, 2)),
    destroy: () => void socket.destroy(),
  };
}

export interface UpstreamConnection {
  readonly socket: Socket;
  /** All that was received, latin-1. */
  readonly text: string;
  readonly isClosed: boolean;
}

/** Bytes to send; null leaves it to the script. */
export type Script = (request: Message, socket: Socket) => string | null | Promise<string | null>;

export interface RawUpstream {
  readonly host: string;
  readonly port: number;
  readonly requests: readonly Message[];
  readonly connections: readonly UpstreamConnection[];
  /** Bytes received on all connections. */
  readonly bytes: number;
  /** What was not HTTP. */
  readonly faults: readonly string[];
  /** How it answers from now on. */
  script: Script;
  forget(): void;
  close(): Promise<void>;
}

export const ok: string = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Reads requests one by one and answers each by its script. */
export async function rawUpstream(script: Script = () => ok): Promise<RawUpstream> {
  let requests: Message[] = [];
  let connections: UpstreamConnection[] = [];
  const faults: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const connection = { socket, text: "", isClosed: false };
    connections.push(connection);
    sockets.add(socket);
    let unread = "";
    let isBusy = false;
    const read = async (): Promise<void> => {
      if (isBusy) return;
      isBusy = true;
      try {
        for (let next = readMessage(unread, () => true); next !== null; next = readMessage(unread, () => true)) {
          unread = next.rest;
          requests.push(next.message);
          const answer = await upstream.script(next.message, socket);
          if (answer === null) return;
          if (!socket.destroyed) socket.write(Buffer.from(answer, "latin1"));
        }
        isBusy = false;
      } catch (error) {
        faults.push(String(error));
        socket.destroy();
      }
    };
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => {
      const text = bytes.toString("latin1");
      connection.text += text;
      unread += text;
      void read();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      connection.isClosed = true;
      sockets.delete(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  const upstream: RawUpstream = {
    host: "127.0.0.1",
    port: typeof at === "object" && at !== null ? at.port : 0,
    get requests() {
      return requests;
    },
    get connections() {
      return connections;
    },
    get bytes() {
      return connections.reduce((sum, { text }) => sum + text.length, 0);
    },
    faults,
    script,
    forget() {
      requests = [];
      connections = connections.filter(({ isClosed }) => !isClosed);
      for (const connection of connections) (connection as { text: string }).text = "";
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return upstream;
}

/** Time for what must not happen to happen anyway. */
export const quiet = (ms = 50): Promise<void> => delay(ms);
