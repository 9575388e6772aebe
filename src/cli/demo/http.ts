/**
 * Plain HTTP calls of the demo itself, by `node:http`: unlike `fetch` it follows no HTTP_PROXY of this terminal, sends any
 * `Host`, and is the same on every runtime.
 */
import { Agent, request } from "node:http";
import { createServer } from "node:net";

export interface Reply {
  readonly status: number;
  readonly body: string;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** @default 5000 */
  readonly timeoutMs?: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** `address` is `host:port`. */
export function call(address: string, path: string, options: CallOptions = {}): Promise<Reply> {
  const { method = "GET", headers = {}, timeoutMs = 5_000 } = options;
  const colon = address.lastIndexOf(":");
  const target = {
    host: address.slice(0, colon),
    port: Number(address.slice(colon + 1)),
    path,
    method,
    headers,
    agent,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(target, (incoming) => {
      let body = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => (body += chunk));
      incoming.on("error", fail);
      incoming.on("end", () => {
        clearTimeout(timer);
        resolve({ status: incoming.statusCode ?? 0, body });
      });
    });
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    // One timer for the whole exchange: a reply that stalls in its body is as late as one that never begins.
    const timer = setTimeout(() => {
      // First: Deno emits no error for a request that is destroyed while it waits.
      fail(new Error(`no reply within ${timeoutMs} ms`));
      outgoing.destroy();
    }, timeoutMs);
    outgoing.on("error", fail);
    outgoing.end();
  });
}

export async function callJson<T>(address: string, path: string): Promise<T> {
  const { status, body } = await call(address, path);
  if (status !== 200) throw new Error(`http://${address}${path} answered ${status}: ${body}`);
  return JSON.parse(body) as T;
}

/**
 * A port that is free now and that the system gives to nobody who asks for any: those begin at 32768 (Linux) or 49152. One
 * that was merely free a moment ago is often somebody's own end of a connection by the time it is used.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (handedOut.has(port)) continue;
    // Before the look, which takes a moment in which somebody else may draw the same.
    handedOut.add(port);
    if (await canListen(port)) return port;
  }
  throw new Error("no free port between 20000 and 32000 after 100 tries");
}

const handedOut = new Set<number>();

function canListen(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
