/**
 * A network in one process: the same contract as real sockets, without ports, files or time. For tests, and for the simulator,
 * where a whole fleet must run the same way twice.
 */
import { systemClock, type Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type {
  ByteSocket,
  ConnectOptions,
  ConnectTls,
  Listener,
  ListenEvents,
  ListenOptions,
  SocketTransport,
  TlsIdentity,
  TlsTrust,
} from "./contract.ts";
import { MemorySocket, type Defer } from "./memory-pipe.ts";
import { agreeAlpn, clientRefusal, parseChain, verifyShown } from "./memory-tls.ts";
import { formatAddress, listenError } from "./socket-errors.ts";

interface Bound {
  readonly options: ListenOptions;
  readonly port: number;
  identity: TlsIdentity | undefined;
  trust: TlsTrust | undefined;
  accept(socket: MemorySocket): void;
  refuse(reason: string, remoteAddress: string): void;
}

/** Who listens where. Transports that share one reach each other. */
export class MemoryNetwork {
  readonly listeners: Map<string, Bound> = new Map();
  #lastPort = 49_151;

  /** The first port after IANA's registered ones that was never given out, so no test meets another's listener. */
  freePort(): number {
    return ++this.#lastPort;
  }
}

export interface MemoryTransportOptions {
  /** @default one of its own */
  readonly network?: MemoryNetwork;
  /** Address that others see connections come from. @default "127.0.0.1" */
  readonly host?: string;
  /** @default the platform's next macrotask; `queueMicrotask` makes a simulation independent of time */
  readonly defer?: Defer;
  /** Decides whether certificates are in date. @default the real one */
  readonly clock?: Clock;
}

export function memoryTransport(options: MemoryTransportOptions = {}): SocketTransport {
  const { network = new MemoryNetwork(), host = "127.0.0.1", defer = nextTurn, clock = systemClock } = options;
  return {
    kind: "sockets",
    name: "memory",
    capabilities: { runtime: "memory", gaps: {} },
    async listen(options, onSocket, events = {}) {
      return listenMemory(network, options, onSocket, events);
    },
    async connect(options) {
      return connectMemory(network, options, host, defer, clock);
    },
  };
}

function listenMemory(
  network: MemoryNetwork,
  options: ListenOptions,
  onSocket: (socket: ByteSocket) => void,
  events: ListenEvents,
): Listener {
  const port = options.path === undefined ? options.port || network.freePort() : 0;
  const address = formatAddress(options.path === undefined ? { host: options.host, port } : options);
  if (network.listeners.has(address))
    throw listenError(address, Object.assign(new Error("address in use"), { code: "EADDRINUSE" }));
  const bound: Bound = {
    options,
    port,
    identity: options.tls?.identity,
    trust: options.tls?.trust,
    accept(socket) {
      try {
        onSocket(socket);
      } catch (error) {
        const reason = MeshError.from(error);
        socket.destroy(reason);
        events.error?.(reason);
      }
    },
    refuse: (reason, remoteAddress) => events.handshakeRefused?.(reason, remoteAddress),
  };
  network.listeners.set(address, bound);
  return {
    address,
    port,
    rotate(identity, trust) {
      if (options.tls === undefined) return;
      bound.identity = identity;
      bound.trust = trust;
    },
    async close() {
      if (network.listeners.get(address) === bound) network.listeners.delete(address);
    },
  };
}

function connectMemory(
  network: MemoryNetwork,
  options: ConnectOptions,
  from: string,
  defer: Defer,
  clock: Clock,
): ByteSocket {
  const address = formatAddress(options);
  const { signal, tls, path, host = "127.0.0.1", port = 0 } = options;
  const fail = (why: string): never => {
    throw new MeshError("ERR_CONNECT_FAILED", `${address}: ${why}`);
  };
  if (signal?.aborted) throw signal.reason instanceof MeshError ? signal.reason : fail("the attempt was called off");
  const bound = lookUp(network, address, port);
  if (bound === undefined) return fail(path === undefined ? "connection refused" : "no such socket file");

  const clientPort = path === undefined ? network.freePort() : 0;
  const listenTls = bound.options.tls;
  if (tls !== undefined && listenTls === undefined) return fail("the peer does not speak TLS");
  let serverChain: readonly Uint8Array[] = [];
  let clientChain: readonly Uint8Array[] = [];
  let alpn: string | null = null;
  let refusal: string | null = null;
  if (listenTls !== undefined && tls === undefined && listenTls.plaintext !== "accept") refusal = "plaintext";
  if (listenTls !== undefined && tls !== undefined) {
    const agreed = agreeAlpn(listenTls, tls);
    if (agreed === false) {
      bound.refuse("no common ALPN protocol", from);
      return fail("the peer refused the TLS handshake: no application protocol");
    }
    alpn = agreed;
    const server = judgeServer(bound, tls, host, clock);
    if (typeof server === "string") {
      bound.refuse("client hung up during the handshake", from);
      throw new MeshError("ERR_UPSTREAM_IDENTITY", `${address}: its certificate is refused: ${server}`);
    }
    serverChain = server;
    const client = judgeClient(bound, listenTls.clientAuth, tls.identity, clock);
    if (typeof client === "string") refusal = client;
    else clientChain = client;
  }

  const encrypted = tls !== undefined;
  const near = new MemorySocket(
    {
      remoteAddress: path ?? host,
      remotePort: port,
      localPort: clientPort,
      peerCertificates: serverChain,
      alpn,
      encrypted,
    },
    defer,
  );
  const far = new MemorySocket(
    {
      remoteAddress: path === undefined ? from : "unix",
      remotePort: clientPort,
      localPort: bound.port,
      peerCertificates: clientChain,
      alpn,
      encrypted,
    },
    defer,
  );
  MemorySocket.join(near, far);
  // As in TLS 1.3: the client has finished before the server judges it, so a refusal looks like a connection cut short.
  defer(() => {
    if (refusal === null) return bound.accept(far);
    bound.refuse(refusal, from);
    far.destroy();
  });
  return near;
}

function judgeServer(bound: Bound, tls: ConnectTls, host: string, clock: Clock): readonly Uint8Array[] | string {
  if (tls.unverified === true)
    return parseChain(bound.identity!.certificateChainPem).map(({ raw }) => new Uint8Array(raw));
  const shown = verifyShown(bound.identity!, tls.trust, clock.epochMs());
  return typeof shown === "string" ? shown : (clientRefusal(shown, tls, host) ?? shown.chain);
}

function judgeClient(
  bound: Bound,
  clientAuth: "required" | "requested" | "none",
  identity: TlsIdentity | undefined,
  clock: Clock,
): readonly Uint8Array[] | string {
  if (clientAuth === "none") return [];
  if (identity === undefined) return clientAuth === "required" ? "no client certificate" : [];
  const shown = verifyShown(identity, bound.trust!, clock.epochMs());
  return typeof shown === "string" ? shown : shown.chain;
}

/** A listener on every interface is found under any host. */
function lookUp(network: MemoryNetwork, address: string, port: number): Bound | undefined {
  const { listeners } = network;
  return listeners.get(address) ?? listeners.get(`0.0.0.0:${port}`) ?? listeners.get(`[::]:${port}`);
}

function nextTurn(action: () => void): void {
  if (typeof setImmediate === "function") setImmediate(action);
  else setTimeout(action, 0);
}
