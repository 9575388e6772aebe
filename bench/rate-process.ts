/**
 * `rate-process.ts PORT RATE CONNECTIONS SECONDS METHOD`: an open loop. Request n is due at n / RATE seconds, whatever became of
 * those before it; one that finds no free connection waits, and its wait counts. Prints one `LoadResult` as JSON.
 *
 * It polls instead of sleeping: timers of a millisecond would be larger than what is measured.
 */
import { connect, type Socket } from "node:net";
import { benchPath } from "./documents.ts";
import { benchBody, type LoadResult } from "./load.ts";

const [port, rate, connections, seconds] = process.argv.slice(2, 6).map(Number) as [number, number, number, number];
const method = process.argv[6];
// The first moments belong to handshakes and are not counted.
const warmUpSeconds = 1;

const head = `${method} ${benchPath} HTTP/1.1\r\nHost: api\r\nAccept: application/json\r\nUser-Agent: bench\r\n`;
const body =
  method === "POST"
    ? `Content-Type: application/json\r\nContent-Length: ${benchBody.length}\r\n\r\n${benchBody}`
    : "\r\n";
const message = Buffer.from(head + body);

class Connection {
  readonly socket: Socket;
  #received = "";
  /** When the request under way was due; -1 if none is. */
  dueMs = -1;

  constructor() {
    this.socket = connect(port, "127.0.0.1").setNoDelay(true);
    this.socket.on("data", (chunk) => this.#read(chunk.toString("latin1")));
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      if (isOver) return;
      failures++;
      free.splice(free.indexOf(this) >>> 0, 1);
    });
  }

  send(dueMs: number): void {
    this.dueMs = dueMs;
    this.socket.write(message);
  }

  #read(text: string): void {
    this.#received += text;
    const headEnd = this.#received.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#received.slice(0, headEnd + 2))?.[1] ?? NaN);
    if (Number.isNaN(length)) throw new Error(`an answer without a length: ${this.#received}`);
    if (this.#received.length < headEnd + 4 + length) return;
    if (!this.#received.startsWith("HTTP/1.1 2")) failures++;
    this.#received = "";
    if (this.dueMs >= countFromMs) latenciesUs.push((performance.now() - this.dueMs) * 1000);
    this.dueMs = -1;
    free.push(this);
  }
}

const latenciesUs: number[] = [];
let failures = 0;
let isOver = false;
const free: Connection[] = [];
const all = Array.from({ length: connections }, () => new Connection());
await Promise.all(all.map(({ socket }) => new Promise((resolve) => socket.once("connect", resolve))));
free.push(...all);

const startMs = performance.now();
const countFromMs = startMs + warmUpSeconds * 1000;
const total = Math.round(rate * (seconds + warmUpSeconds));
let sent = 0;
poll();

function poll(): void {
  const nowMs = performance.now();
  while (sent < total && free.length > 0) {
    const dueMs = startMs + (sent * 1000) / rate;
    if (dueMs > nowMs) break;
    sent++;
    // The one that has waited longest: all connections take part.
    free.shift()!.send(dueMs);
  }
  const isLate = nowMs > startMs + (seconds + warmUpSeconds + 5) * 1000;
  if ((sent < total || free.length < all.length) && !isLate && failures < total) setImmediate(poll);
  else finish();
}

function finish(): void {
  isOver = true;
  for (const { socket } of all) socket.destroy();
  failures += total - sent;
  latenciesUs.sort((a, b) => a - b);
  const at = (share: number): number => Math.round(latenciesUs[Math.floor(latenciesUs.length * share)] ?? NaN);
  const served = { requests: sent, seconds: seconds + warmUpSeconds };
  const result: LoadResult = { ...served, failures, p50Us: at(0.5), p99Us: at(0.99) };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
