/** An upstream written down as bytes, over any `SocketTransport`: it shows exactly what a transport sent and answers exactly what a case wants. */
import type { ByteSocket, Listener, SocketTransport } from "../../src/runtime/contract.ts";

export interface Arrived {
  readonly method: string;
  readonly target: string;
  /** Lower-case names. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Upstream {
  readonly address: string;
  readonly arrived: Arrived[];
  /** Connections that are gone. */
  closed: number;
  close(): Promise<void>;
}

/** Answers the request that has arrived in full by writing bytes; `at` is its number, from 0. */
export type Answer = (socket: ByteSocket, request: Arrived, at: number) => void;

export async function startUpstream(transport: SocketTransport, answer: Answer): Promise<Upstream> {
  const sockets = new Set<ByteSocket>();
  const upstream = { address: "", arrived: [] as Arrived[], closed: 0 };
  const listener: Listener = await transport.listen({}, (socket) => {
    sockets.add(socket);
    let text = "";
    socket.attach({
      data(chunk) {
        text += Buffer.from(chunk).toString("latin1");
        for (let next = takeRequest(text); next !== null; next = takeRequest(text)) {
          text = text.slice(next.length);
          upstream.arrived.push(next.request);
          answer(socket, next.request, upstream.arrived.length - 1);
        }
      },
      drain() {},
      end: () => socket.end(),
      close() {
        sockets.delete(socket);
        upstream.closed++;
      },
    });
  });
  upstream.address = `http://${listener.address}`;
  return Object.assign(upstream, {
    async close() {
      await listener.close();
      for (const socket of sockets) socket.destroy();
    },
  });
}

export function reply(status: string, fields: readonly string[], body: string): string {
  return [`HTTP/1.1 ${status}`, ...fields, `content-length: ${Buffer.byteLength(body, "latin1")}`, "", body].join(
    "\r\n",
  );
}

export function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

function takeRequest(text: string): { readonly request: Arrived; readonly length: number } | null {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const [start = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const fields = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  const [method = "", target = ""] = start.split(" ");
  const bodyAt = headEnd + 4;
  const framed =
    fields.get("transfer-encoding") === "chunked"
      ? takeChunks(text, bodyAt)
      : takeLength(text, bodyAt, Number(fields.get("content-length") ?? 0));
  return framed === null ? null : { request: { method, target, fields, body: framed.body }, length: framed.end };
}

interface Framed {
  readonly body: string;
  readonly end: number;
}

function takeLength(text: string, at: number, length: number): Framed | null {
  return text.length < at + length ? null : { body: text.slice(at, at + length), end: at + length };
}

function takeChunks(text: string, from: number): Framed | null {
  let body = "";
  for (let at = from; ;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const length = Number.parseInt(text.slice(at, lineEnd), 16);
    const end = lineEnd + 2 + length + 2;
    if (text.length < end) return null;
    if (length === 0) return { body, end };
    body += text.slice(lineEnd + 2, end - 2);
    at = end;
  }
}
