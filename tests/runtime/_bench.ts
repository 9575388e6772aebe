/** One listener of a transport under test and the connections of a case, all gone when the case is over. */
import type {
  ByteSocket,
  ConnectOptions,
  Listener,
  ListenEvents,
  ListenOptions,
  SocketTransport,
} from "../../src/runtime/contract.ts";
import { Recorder } from "./_recorder.ts";

export interface Setup {
  readonly transport: SocketTransport;
  readonly listen: ListenOptions;
  /** Without the address, which the listener knows. */
  readonly connect: ConnectOptions;
}

export interface Pair {
  readonly client: Recorder;
  readonly server: Recorder;
}

export class Bench {
  readonly setup: Setup;
  readonly refusals: string[] = [];
  readonly errors: Error[] = [];
  listener!: Listener;
  #accepted: ByteSocket[] = [];
  #waiting: ((socket: ByteSocket) => void)[] = [];
  readonly #sockets: ByteSocket[] = [];
  readonly #listeners: Listener[] = [];

  constructor(setup: Setup) {
    this.setup = setup;
  }

  static async open(setup: Setup, onSocket?: (socket: ByteSocket) => void): Promise<Bench> {
    const bench = new Bench(setup);
    bench.listener = await bench.listen(setup.listen, onSocket);
    return bench;
  }

  async listen(
    options: ListenOptions,
    onSocket: (socket: ByteSocket) => void = (socket) => this.#accept(socket),
  ): Promise<Listener> {
    const events: ListenEvents = {
      handshakeRefused: (reason, remoteAddress) => this.refusals.push(`${reason} (${remoteAddress})`),
      error: (error) => this.errors.push(error),
    };
    const keep = (socket: ByteSocket): void => {
      this.#sockets.push(socket);
      onSocket(socket);
    };
    const listener = await this.setup.transport.listen(options, keep, events);
    this.#listeners.push(listener);
    return listener;
  }

  async connect(overrides: ConnectOptions = {}): Promise<ByteSocket> {
    const where =
      this.setup.listen.path === undefined ? { port: this.listener.port } : { path: this.setup.listen.path };
    const socket = await this.setup.transport.connect({ ...where, ...this.setup.connect, ...overrides });
    this.#sockets.push(socket);
    return socket;
  }

  accepted(): Promise<ByteSocket> {
    const first = this.#accepted.shift();
    if (first !== undefined) return Promise.resolve(first);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get acceptedCount(): number {
    return this.#accepted.length;
  }

  async pair(overrides?: ConnectOptions): Promise<Pair> {
    const client = new Recorder(await this.connect(overrides));
    return { client, server: new Recorder(await this.accepted()) };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  #accept(socket: ByteSocket): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#accepted.push(socket);
    else next(socket);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until `isDone`, looking often; for facts that no event announces. */
export async function eventually(isDone: () => boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (!isDone()) {
    if (performance.now() > giveUpAt) throw new Error(`waited in vain for ${what}`);
    await pause(5);
  }
}
