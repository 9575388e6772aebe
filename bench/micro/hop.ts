/**
 * What one hop costs in our own code: a real sidecar, every default layer on, whose sockets are a few arrays. Beside the figures
 * of `scripts/bench` this says how much is ours and how much the kernel's and the runtime's, and it is steady enough to see
 * a change of a percent. Run it on each runtime: `bun bench/micro/hop.ts`.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { systemClock } from "../../src/clock.ts";
import { applyDocuments } from "../../src/control/publish.ts";
import { decodePem } from "../../src/identity/pem.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import type { ByteSocket, SocketHandler, SocketTransport } from "../../src/runtime/contract.ts";
import { createSidecar, type Sidecar } from "../../src/sidecar.ts";
import { writeCertificates } from "../certificates.ts";
import { benchDocuments, benchPath } from "../documents.ts";
import { benchBody } from "../load.ts";
import { report } from "./measure.ts";

const inboundPort = 15_006;
const outboundPort = 15_001;
const connections = 32;
const requestLine = `GET ${benchPath} HTTP/1.1\r\n`;
const appFields = "Host: api\r\nAccept: application/json\r\nUser-Agent: bench\r\n";
const meshFields =
  "x-request-id: 0b6f0e9c-34f3-4d7e-9a51-a3f1b7a2f2c1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n" +
  "x-envoy-expected-rq-timeout-ms: 5000\r\nx-mesh-hops: 1\r\n";
const response = Buffer.from(
  "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 19:00:00 GMT\r\nContent-Type: application/json\r\n" +
    `Content-Length: ${benchBody.length}\r\nConnection: keep-alive\r\n\r\n${benchBody}`,
);

/** Counts what is written to it, and tells whoever holds it. */
class ArraySocket implements ByteSocket {
  readonly remoteAddress = "127.0.0.1";
  readonly remotePort = 40_000;
  readonly localPort: number;
  readonly alpn = null;
  readonly bufferedBytes = 0;
  readonly peerCertificates: readonly Uint8Array[];
  handler: SocketHandler | null = null;
  /** Messages written and not yet looked at. */
  writes = 0;
  last: Uint8Array | string = "";
  #corks = 0;
  #isDirty = false;

  constructor(localPort: number, peerCertificates: readonly Uint8Array[]) {
    this.localPort = localPort;
    this.peerCertificates = peerCertificates;
  }

  get encrypted(): boolean {
    return this.peerCertificates.length > 0;
  }

  attach(handler: SocketHandler): void {
    this.handler = handler;
  }

  write(bytes: Uint8Array | string): boolean {
    this.last = bytes;
    if (this.#corks === 0) this.writes++;
    else this.#isDirty = true;
    return true;
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (--this.#corks > 0 || !this.#isDirty) return;
    this.#isDirty = false;
    this.writes++;
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

class ArrayTransport implements SocketTransport {
  readonly kind = "sockets";
  readonly name = "arrays";
  readonly capabilities = { runtime: "arrays", gaps: {} };
  readonly listeners = new Map<number, (socket: ByteSocket) => void>();
  readonly upstreams: ArraySocket[] = [];
  readonly #peer: readonly Uint8Array[];
  #port = 50_000;

  constructor(peer: readonly Uint8Array[]) {
    this.#peer = peer;
  }

  listen: SocketTransport["listen"] = async (options, onSocket) => {
    const port = options.port || this.#port++;
    this.listeners.set(port, onSocket);
    return { address: `127.0.0.1:${port}`, port, rotate: () => {}, close: async () => {} };
  };

  connect: SocketTransport["connect"] = async ({ tls }) => {
    const socket = new ArraySocket(0, tls === undefined ? [] : this.#peer);
    this.upstreams.push(socket);
    return socket;
  };
}

const folder = mkdtempSync(join(tmpdir(), "fetchmesh-hop-"));
const certificates = await writeCertificates(folder);
const chain = (directory: string): Uint8Array[] =>
  decodePem(readFileSync(`${directory}/svid.pem`, "utf8"), "CERTIFICATE");

const outbound = new ArrayTransport(chain(certificates.api));
const inbound = new ArrayTransport(chain(certificates.caller));
const sidecars = [await start("caller", certificates.caller, outbound), await start("api", certificates.api, inbound)];
await measure("outbound hop", outbound, outboundPort, [], Buffer.from(`${requestLine}${appFields}\r\n`));
await measure(
  "inbound hop",
  inbound,
  inboundPort,
  chain(certificates.caller),
  Buffer.from(`${requestLine}${appFields}${meshFields}\r\n`),
);
await Promise.all(sidecars.map((sidecar) => sidecar.close()));
rmSync(folder, { recursive: true });

async function start(service: string, svidDir: string, transport: SocketTransport): Promise<Sidecar> {
  const store = memoryStore();
  const text = benchDocuments(inboundPort);
  await applyDocuments(
    { store, mesh: "default", clock: systemClock },
    [{ file: "bench", text }],
    { author: "bench", message: "" },
    new Set(),
  );
  return createSidecar({ service, app: { host: "127.0.0.1", port: 8080 }, svidDir, store, transport, log: () => {} });
}

async function measure(
  name: string,
  transport: ArrayTransport,
  port: number,
  peer: readonly Uint8Array[],
  request: Uint8Array,
): Promise<void> {
  const clients = Array.from({ length: connections }, () => new ArraySocket(port, peer));
  for (const client of clients) transport.listeners.get(port)!(client);
  let bestMs = Infinity;
  for (let round = 0; round < 30; round++) {
    const startMs = performance.now();
    const turns = 300;
    for (let turn = 0; turn < turns; turn++) {
      for (const client of clients) client.handler!.data(request);
      await settled(() => transport.upstreams.reduce((sum, { writes }) => sum + writes, 0) === connections);
      for (const upstream of transport.upstreams) {
        if (upstream.writes === 0) continue;
        upstream.writes = 0;
        upstream.handler!.data(response);
      }
      await settled(() => clients.every(({ writes }) => writes === 1));
      for (const client of clients) client.writes = 0;
    }
    const { last } = clients[0]!;
    const reply = typeof last === "string" ? last : Buffer.from(last).toString("latin1");
    if (!reply.includes(benchBody)) throw new Error(`not the application's answer: ${reply}`);
    bestMs = Math.min(bestMs, (performance.now() - startMs) / (turns * connections));
  }
  report(name, bestMs * 1e6);
}

async function settled(isSettled: () => boolean): Promise<void> {
  // The first turns also connect.
  for (let turn = 0; turn < 100; turn++) {
    await nextTurn();
    if (isSettled()) return;
  }
  throw new Error("a request got stuck");
}
