/**
 * Connections to upstreams, kept for reuse per (address, expected identity, certificate generation): a request never travels
 * under an identity that was not checked for it.
 */
import { MeshError } from "../errors.ts";
import type { ByteSocket } from "../runtime/contract.ts";
import { ClientConnection, type ClientOwner } from "./client-connection.ts";
import type { Dial, PoolOptions } from "./pool-options.ts";

/** Waits for a connection. Exactly one of both is called, later or at once. */
export interface ConnectionWaiter {
  /** @param isReused it carried other requests before, so it may turn out to be dead */
  connected(connection: ClientConnection, isReused: boolean): void;
  refused(error: MeshError): void;
}

const IDLE_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 1_024;
const MAX_PENDING = 1_024;
/** A server's own limit is met before it acts on it: a request and the FIN must not cross. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #shelves = new Map<string, Shelf>();
  #isClosed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Hands out a connection of this dial: an idle one at once (last used first), else a new one, else the first that gets free. */
  acquire(dial: Dial, waiter: ConnectionWaiter): void {
    if (this.#isClosed) {
      waiter.refused(new MeshError("ERR_NOT_READY", "The connection pool is closed"));
      return;
    }
    let shelf = this.#shelves.get(dial.key);
    if (shelf === undefined) {
      shelf = new Shelf(dial, this.#options, this.#emptied);
      this.#shelves.set(dial.key, shelf);
    } else shelf.redial(dial);
    shelf.acquire(waiter);
  }

  /** A new connection even if idle ones are there: they may all be as dead as the last. */
  acquireFresh(dial: Dial, waiter: ConnectionWaiter): void {
    const shelf = this.#shelves.get(dial.key);
    if (shelf === undefined) this.acquire(dial, waiter);
    else shelf.acquireFresh(waiter);
  }

  /** The waiter is gone. A connection on its way for it is kept for others. */
  forget(dial: Dial, waiter: ConnectionWaiter): void {
    this.#shelves.get(dial.key)?.forget(waiter);
  }

  /** Lets go of connections whose keys match: idle ones close, busy ones finish first. For a certificate rotated, an endpoint gone. */
  retire(matches: (key: string) => boolean): void {
    for (const [key, shelf] of this.#shelves) {
      if (!matches(key)) continue;
      this.#shelves.delete(key);
      shelf.retire();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.retire(() => true);
  }

  /** Open connections of one key or of all, idle and busy. */
  size(key?: string): number {
    if (key !== undefined) return this.#shelves.get(key)?.size ?? 0;
    let size = 0;
    for (const shelf of this.#shelves.values()) size += shelf.size;
    return size;
  }

  readonly #emptied = (shelf: Shelf): void => {
    if (this.#shelves.get(shelf.key) === shelf) this.#shelves.delete(shelf.key);
  };
}

/** The connections of one key. */
class Shelf implements ClientOwner {
  readonly key: string;
  #dial: Dial;
  readonly #options: PoolOptions;
  readonly #emptied: (shelf: Shelf) => void;
  readonly #idleTimeoutMs: number;
  readonly #idle: ClientConnection[] = [];
  readonly #all = new Set<ClientConnection>();
  /** Waiting, first come first served; those a connect is under way for, and those beyond the limit. */
  readonly #waiting: ConnectionWaiter[] = [];
  #connecting = 0;
  #isRetired = false;

  constructor(dial: Dial, options: PoolOptions, emptied: (shelf: Shelf) => void) {
    this.key = dial.key;
    this.#dial = dial;
    this.#options = options;
    this.#emptied = emptied;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Same place and same identity, but limits and timeouts may be newer. */
  redial(dial: Dial): void {
    this.#dial = dial;
  }

  acquire(waiter: ConnectionWaiter): void {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (!connection.isUsable) continue;
      waiter.connected(connection, true);
      return;
    }
    this.acquireFresh(waiter);
  }

  acquireFresh(waiter: ConnectionWaiter): void {
    const maxConnections = this.#dial.maxConnections ?? this.#options.maxConnections ?? MAX_CONNECTIONS;
    if (this.#all.size + this.#connecting < maxConnections) {
      this.#waiting.push(waiter);
      this.#connect();
      return;
    }
    const maxPending = this.#dial.maxPending ?? this.#options.maxPending ?? MAX_PENDING;
    if (this.#waiting.length - this.#connecting >= maxPending) {
      waiter.refused(
        new MeshError(
          "ERR_OVERLOADED",
          `All ${maxConnections} connections are busy and ${maxPending} requests wait for one`,
        ),
      );
      return;
    }
    this.#waiting.push(waiter);
  }

  forget(waiter: ConnectionWaiter): void {
    const at = this.#waiting.indexOf(waiter);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  retire(): void {
    this.#isRetired = true;
    for (const connection of this.#all) connection.retire();
  }

  released(connection: ClientConnection): void {
    if (this.#isRetired) {
      connection.retire();
      return;
    }
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) {
      waiter.connected(connection, true);
      return;
    }
    const idleMs = Math.min(this.#idleTimeoutMs, Math.max(0, connection.keepAliveMs - KEEP_ALIVE_MARGIN_MS));
    if (idleMs === 0) {
      connection.retire();
      return;
    }
    connection.deadlineMs = this.#options.sweeper.nowMs + idleMs;
    this.#idle.push(connection);
  }

  closed(connection: ClientConnection): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#options.closed?.(connection.encrypted);
    // Its place is free for somebody beyond the limit.
    if (this.#waiting.length > this.#connecting) this.#connect();
    else this.#tidy();
  }

  #tidy(): void {
    if (this.#all.size === 0 && this.#connecting === 0 && this.#waiting.length === 0) this.#emptied(this);
  }

  #connect(): void {
    this.#connecting++;
    this.#options.transport.connect(this.#dial.connect).then(
      (socket) => this.#connected(socket),
      (error: unknown) => {
        this.#connecting--;
        this.#refuse(connectError(error));
      },
    );
  }

  #connected(socket: ByteSocket): void {
    this.#connecting--;
    const { limits, sweeper } = this.#options;
    const connection = new ClientConnection(socket, limits, sweeper, this);
    this.#all.add(connection);
    this.#options.opened?.(socket.encrypted);
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.released(connection);
    else waiter.connected(connection, false);
  }

  #refuse(error: MeshError): void {
    this.#waiting.shift()?.refused(error);
    // Those beyond the limit relied on connections that now may never come.
    if (this.#waiting.length > this.#connecting && this.#all.size === 0) this.#connect();
    else this.#tidy();
  }
}

function connectError(reason: unknown): MeshError {
  if (reason instanceof MeshError) return reason;
  const message = reason instanceof Error ? reason.message : String(reason);
  return new MeshError("ERR_CONNECT_FAILED", message, { cause: reason });
}
