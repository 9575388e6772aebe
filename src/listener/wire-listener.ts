/** 1 accept: opens a port, serves our wire on every connection, and makes an exchange of each request. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { Exchange, type Accepted, type ConnectionFacts, type Direction, type Handler } from "../exchange.ts";
import type { Snapshot } from "../control/snapshot.ts";
import type { Events } from "../observe/events.ts";
import type {
  ByteSocket,
  Listener,
  ListenOptions,
  SocketTransport,
  TlsIdentity,
  TlsTrust,
} from "../runtime/contract.ts";
import type { WireLimits, WireRequest } from "../wire/message.ts";
import { OpenConnections } from "../wire/open-connections.ts";
import { serveConnection } from "../wire/server-connection.ts";
import type { Sweeper } from "../wire/sweeper.ts";

export interface WireListenerOptions {
  readonly direction: Direction;
  readonly transport: SocketTransport;
  readonly listen: ListenOptions;
  readonly limits: WireLimits;
  readonly clock: Clock;
  readonly sweeper: Sweeper;
  readonly events: Events;
  readonly handler: Handler<Accepted>;
  /** The config in force now; each request keeps the one it started with. */
  readonly snapshot: () => Snapshot;
  /** Who is on this connection, decided once. A string refuses the connection and says why. */
  readonly admit: (socket: ByteSocket) => ConnectionFacts | string;
  /** The reply to bytes that never became a request. */
  readonly refuse: (error: MeshError) => Response;
  /** Larger request bodies are 413. @default Infinity: bodies stream */
  readonly maxBodyBytes?: number;
  /** Connections at once; more are closed on arrival. @default 10000 */
  readonly maxConnections?: number;
}

export interface WireListener {
  readonly address: string;
  readonly port: number;
  readonly connections: number;
  rotate(identity: TlsIdentity, trust: TlsTrust): void;
  /** Stops accepting; what is in flight finishes until `timeoutMs`, then is cut. */
  drain(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Envoy's edge advice is 50 000 per process of 4 cores; one JavaScript thread serves 10 000 without starving any. */
const defaultMaxConnections = 10_000;

const shuttingDown: MeshError = new MeshError("ERR_DOWNSTREAM_CLOSED", "The sidecar is shutting down");

/** @throws {MeshError} ERR_OPTION_INVALID if the address is taken */
export async function openWireListener(options: WireListenerOptions): Promise<WireListener> {
  const { direction, clock, events } = options;
  const maxConnections = options.maxConnections ?? defaultMaxConnections;
  const open = new OpenConnections(clock);

  const accept = (socket: ByteSocket): void => {
    const facts = open.size >= maxConnections ? `more than ${maxConnections} connections` : options.admit(socket);
    if (typeof facts === "string") {
      events.handshakeRefused?.(direction, facts, socket.remoteAddress);
      socket.destroy();
      return;
    }
    events.connectionOpened?.(direction, facts.encrypted);
    open.add(
      serveConnection(socket, {
        limits: options.limits,
        clock,
        sweeper: options.sweeper,
        refuse: (error) => {
          events.requestRefused?.(direction, error, socket.remoteAddress);
          return options.refuse(error);
        },
        scheme: facts.encrypted ? "https" : "http",
        ...(options.maxBodyBytes !== undefined && { maxBodyBytes: options.maxBodyBytes }),
        receive: (request, respond) => receive(request, respond, facts),
        closed: (connection) => {
          open.delete(connection);
          events.connectionClosed?.(direction, facts.encrypted);
        },
      }),
    );
  };

  const receive = (
    request: WireRequest,
    respond: (response: Response) => void,
    connection: ConnectionFacts,
  ): Exchange => {
    const exchange = new Exchange({
      direction,
      request,
      head: request.head,
      snapshot: options.snapshot(),
      startedAtMs: clock.nowMs(),
      connection,
    });
    // `rescue` turns every failure into a reply, so a rejection here is a defect of ours: still answer, never hang.
    options.handler(exchange).then(respond, (error: unknown) => respond(options.refuse(MeshError.from(error))));
    return exchange;
  };

  const listener: Listener = await options.transport.listen(options.listen, accept, {
    handshakeRefused: (reason, remoteAddress) => events.handshakeRefused?.(direction, reason, remoteAddress),
  });

  return {
    address: listener.address,
    port: listener.port,
    get connections() {
      return open.size;
    },
    rotate: (identity, trust) => listener.rotate(identity, trust),
    ...open.endings(listener, shuttingDown),
  };
}
