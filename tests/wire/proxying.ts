/** A proxy hop of our own (server connection → sendOverWire) between a raw client and a raw upstream, on any transport. */
import { emptySnapshot } from "../../src/control/compile.ts";
import type { Clock } from "../../src/clock.ts";
import { systemClock } from "../../src/clock.ts";
import type { EndpointState } from "../../src/balance/endpoint.ts";
import { MeshError } from "../../src/errors.ts";
import { Exchange, type Dispatched } from "../../src/exchange.ts";
import { problemResponse } from "../../src/problem.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { ByteSocket, SocketTransport } from "../../src/runtime/contract.ts";
import { memoryTransport } from "../../src/runtime/memory-transport.ts";
import { sendOverWire } from "../../src/transport/wire-transport.ts";
import { wireDefaults, type WireLimits } from "../../src/wire/message.ts";
import { ConnectionPool } from "../../src/wire/pool.ts";
import type { PoolOptions } from "../../src/wire/pool-options.ts";
import { serveConnection } from "../../src/wire/server-connection.ts";
import type { ServerConnection } from "../../src/wire/server-options.ts";
import { Sweeper } from "../../src/wire/sweeper.ts";
import { makeCa, makeServiceLeaf } from "../support/certificates.ts";
import { bytesOf, textOf } from "./scripted-socket.ts";

export interface Network {
  readonly name: string;
  readonly make: () => Promise<SocketTransport>;
  /** What a reset looks like: TLS on some runtimes shows a cut as an end. */
  readonly encrypted: boolean;
}

/** Every transport that is at hand in this process. */
export const networks: readonly Network[] = [
  { name: "memory", make: async () => memoryTransport(), encrypted: false },
  { name: currentRuntime().name, make: async () => currentRuntime().transport, encrypted: false },
  { name: `${currentRuntime().name} with mTLS`, make: () => overTls(currentRuntime().transport), encrypted: true },
];

/** The same transport with mutual TLS on every connection, between two services of one trust domain. */
async function overTls(transport: SocketTransport): Promise<SocketTransport> {
  const ca = await makeCa();
  const [server, client] = await Promise.all([makeServiceLeaf(ca, "orders"), makeServiceLeaf(ca, "web")]);
  return {
    ...transport,
    listen: (options, onSocket, events) =>
      transport.listen(
        { ...options, tls: { identity: server.identity, trust: ca.trust, clientAuth: "required" } },
        onSocket,
        events,
      ),
    connect: (options) =>
      transport.connect({ ...options, tls: { identity: client.identity, trust: ca.trust, verifyPeer: () => null } }),
  };
}

/** A raw connection: what came, and a way to wait for it. */
export class RawEnd {
  readonly socket: ByteSocket;
  received = "";
  receivedBytes = 0;
  hasEnded = false;
  isClosed = false;
  error: Error | undefined;
  /** Off for streams too long to keep as text. */
  keepsText = true;
  onData: ((chunk: Uint8Array) => void) | null = null;
  readonly #waiting: { isMet: () => boolean; resolve: () => void }[] = [];
  #drained: (() => void) | null = null;

  constructor(socket: ByteSocket) {
    this.socket = socket;
    socket.attach({
      data: (chunk) => {
        this.receivedBytes += chunk.length;
        if (this.keepsText) this.received += textOf(chunk);
        this.onData?.(chunk);
        this.#look();
      },
      drain: () => {
        const drained = this.#drained;
        this.#drained = null;
        drained?.();
      },
      end: () => {
        this.hasEnded = true;
        this.#look();
      },
      close: (error) => {
        this.isClosed = true;
        this.error = error;
        this.#drained?.();
        this.#look();
      },
    });
  }

  send(text: string | Uint8Array): void {
    this.socket.write(typeof text === "string" ? bytesOf(text) : text);
  }

  /** Sends at the pace of the other side. */
  async pour(chunk: Uint8Array, times: number): Promise<void> {
    for (let n = 0; n < times && !this.isClosed; n++) {
      if (!this.socket.write(chunk)) await new Promise<void>((resolve) => (this.#drained = resolve));
    }
  }

  until(isMet: (end: RawEnd) => boolean, what: string): Promise<void> {
    if (isMet(this)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`waited in vain for ${what}; received ${JSON.stringify(this.received.slice(-400))}`)),
        5_000,
      );
      this.#waiting.push({
        isMet: () => isMet(this),
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  }

  untilText(text: string): Promise<void> {
    return this.until(() => this.received.includes(text), JSON.stringify(text));
  }

  untilOver(): Promise<void> {
    return this.until(() => this.hasEnded || this.isClosed, "the end");
  }

  #look(): void {
    for (const [at, waiting] of [...this.#waiting.entries()].reverse()) {
      if (!waiting.isMet()) continue;
      this.#waiting.splice(at, 1);
      waiting.resolve();
    }
  }
}

export interface Hop {
  readonly exchanges: Exchange[];
  /** What attempts failed with. */
  readonly errors: MeshError[];
  readonly pool: ConnectionPool;
  /** Connections the upstream accepted, oldest first. */
  readonly upstreams: RawEnd[];
  /** A new client connection. */
  connect(): Promise<RawEnd>;
  /** The n-th upstream connection, once it is there. */
  upstream(n: number): Promise<RawEnd>;
  close(): Promise<void>;
}

export interface HopOptions {
  readonly limits?: Partial<WireLimits>;
  readonly pool?: Partial<PoolOptions>;
  readonly clock?: Clock;
  /** Layers before the attempt. */
  readonly before?: (x: Exchange) => void;
  /** Called with each connection the upstream accepts. */
  readonly serve?: (end: RawEnd) => void;
}

export async function startHop(transport: SocketTransport, options: HopOptions = {}): Promise<Hop> {
  const clock = options.clock ?? systemClock;
  const limits = { ...wireDefaults, ...options.limits };
  const sweeper = new Sweeper(clock, 20);
  const upstreams: RawEnd[] = [];
  const arrivals: (() => void)[] = [];
  const upstream = await transport.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    const end = new RawEnd(socket);
    upstreams.push(end);
    options.serve?.(end);
    for (const arrived of arrivals.splice(0)) arrived();
  });
  const pool = new ConnectionPool({ transport, limits, clock, sweeper, ...options.pool });
  const dial = { key: "upstream", connect: { host: "127.0.0.1", port: upstream.port } };
  const send = sendOverWire({ pool, clock, dial: () => dial });
  const exchanges: Exchange[] = [];
  const errors: MeshError[] = [];
  const connections = new Set<ServerConnection>();
  const refuse = (error: MeshError): Response => problemResponse(error, { audience: "app", by: "test" });
  const endpoint = {
    record: { address: "upstream", host: "127.0.0.1", port: upstream.port, identity: null },
  } as unknown as EndpointState;
  const listener = await transport.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    connections.add(
      serveConnection(socket, {
        limits,
        clock,
        sweeper,
        refuse,
        receive: (request, respond) => {
          const x = new Exchange({
            direction: "outbound",
            request,
            head: request.head,
            snapshot: emptySnapshot("e"),
            startedAtMs: clock.nowMs(),
            connection: { remoteAddress: "", localPort: 0, peer: null, encrypted: false, upstream: null },
          });
          x.endpoint = endpoint;
          exchanges.push(x);
          options.before?.(x);
          send(x as unknown as Dispatched).then(respond, (error: unknown) => {
            errors.push(MeshError.from(error));
            respond(refuse(MeshError.from(error)));
          });
          return x;
        },
        closed: (connection) => void connections.delete(connection),
      }),
    );
  });
  const clients: RawEnd[] = [];
  return {
    exchanges,
    errors,
    pool,
    upstreams,
    async connect() {
      const end = new RawEnd(await transport.connect({ host: "127.0.0.1", port: listener.port }));
      clients.push(end);
      return end;
    },
    async upstream(n) {
      while (upstreams.length <= n) await new Promise<void>((resolve) => arrivals.push(resolve));
      return upstreams[n]!;
    },
    async close() {
      for (const end of [...clients, ...upstreams]) end.socket.destroy();
      for (const connection of connections) connection.destroy(new MeshError("ERR_DOWNSTREAM_CLOSED", "test over"));
      pool.close();
      await listener.close();
      await upstream.close();
    },
  };
}
