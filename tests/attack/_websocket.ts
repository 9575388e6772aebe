/** RFC 6455 as bytes, both ends: frames, masks and closes, with nothing in between that could repair them. */
import { createHash, randomBytes } from "node:crypto";
import { createServer, type Socket } from "node:net";

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** One whole frame; a client's is masked (§5.3). */
export function encodeFrame({ opcode, payload }: Frame, isMasked: boolean): Buffer {
  const long = payload.length > 65_535 ? 8 : payload.length > 125 ? 2 : 0;
  const head = Buffer.alloc(2 + long);
  head[0] = 0x80 | opcode;
  head[1] = (isMasked ? 0x80 : 0) | (long === 8 ? 127 : long === 2 ? 126 : payload.length);
  if (long === 2) head.writeUInt16BE(payload.length, 2);
  if (long === 8) head.writeBigUInt64BE(BigInt(payload.length), 2);
  if (!isMasked) return Buffer.concat([head, payload]);
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, masked(payload, mask)]);
}

function masked(payload: Buffer, mask: Buffer): Buffer {
  const out = Buffer.from(payload);
  for (let i = 0; i < out.length; i++) out[i]! ^= mask[i & 3]!;
  return out;
}

/** Takes frames out of a stream of bytes. */
export class FrameReader {
  readonly frames: Frame[] = [];
  readonly #expectsMask: boolean;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(expectsMask: boolean) {
    this.#expectsMask = expectsMask;
  }

  push(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    for (let frame = this.#next(); frame !== null; frame = this.#next()) this.frames.push(frame);
  }

  #next(): Frame | null {
    if (this.#length < 2) return null;
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#chunks = [all];
    if (((all[1]! & 0x80) !== 0) !== this.#expectsMask) throw new Error("mask bit");
    const short = all[1]! & 0x7f;
    const long = short === 127 ? 8 : short === 126 ? 2 : 0;
    const payloadAt = 2 + long + (this.#expectsMask ? 4 : 0);
    if (all.length < payloadAt) return null;
    const size = long === 8 ? Number(all.readBigUInt64BE(2)) : long === 2 ? all.readUInt16BE(2) : short;
    if (all.length < payloadAt + size) return null;
    const raw = all.subarray(payloadAt, payloadAt + size);
    this.#length -= payloadAt + size;
    this.#chunks = this.#length === 0 ? [] : [all.subarray(payloadAt + size)];
    return {
      opcode: all[0]! & 0x0f,
      payload: this.#expectsMask ? masked(raw, all.subarray(2 + long, 6 + long)) : Buffer.from(raw),
    };
  }
}

export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

export interface EchoServer {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** What it answers to an upgrade instead of 101; null for the right answer. */
  answer: string | null;
  /** Close codes it was sent. */
  readonly closeCodes: number[];
  /** Bytes that came before it had answered the upgrade. */
  readonly early: string[];
  close(): Promise<void>;
}

/** Echoes text and binary, answers ping, returns a close with its code; `pushes` is sent with the 101 in one write. */
export async function startEcho(pushes: Buffer = Buffer.alloc(0)): Promise<EchoServer> {
  const sockets = new Set<Socket>();
  const echo = {
    host: "127.0.0.1",
    port: 0,
    connections: 0,
    answer: null as string | null,
    closeCodes: [] as number[],
    early: [] as string[],
  };
  const server = createServer((socket) => {
    echo.connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    const reader = new FrameReader(true);
    let head: string | null = "";
    const serve = (bytes: Buffer): void => {
      reader.push(bytes);
      for (const { opcode, payload } of reader.frames.splice(0)) {
        if (opcode === PONG) continue;
        if (opcode === CLOSE && payload.length >= 2) echo.closeCodes.push(payload.readUInt16BE(0));
        socket.write(encodeFrame({ opcode: opcode === PING ? PONG : opcode, payload }, false));
        if (opcode === CLOSE) socket.end();
      }
    };
    socket.on("data", (bytes: Buffer) => {
      if (head === null) return serve(bytes);
      head += bytes.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const key = /^sec-websocket-key: *(.*)$/im.exec(head)?.[1] ?? "";
      const behind = head.slice(end + 4);
      if (behind !== "") echo.early.push(behind);
      if (echo.answer !== null) {
        head = "";
        socket.write(Buffer.from(echo.answer, "latin1"));
        return;
      }
      head = null;
      const reply = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(key.trim())}\r\n\r\n`;
      socket.write(Buffer.concat([Buffer.from(reply, "latin1"), pushes]));
      if (behind !== "") serve(Buffer.from(behind, "latin1"));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  echo.port = typeof at === "object" && at !== null ? at.port : 0;
  return Object.assign(echo, {
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  });
}
