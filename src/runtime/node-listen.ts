/** Listens by `node:net` or `node:tls`; sockets come out only after their handshake passed our own checks too. */
import { lstatSync, unlinkSync } from "node:fs";
import { connect, createServer as createNetServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import { MeshError } from "../errors.ts";
import type {
  ByteSocket,
  Listener,
  ListenEvents,
  ListenOptions,
  ListenTls,
  TlsIdentity,
  TlsTrust,
} from "./contract.ts";
import { sortByFirstByte } from "./node-sniff.ts";
import { materialOf, unusableMaterial } from "./node-tls-material.ts";
import { wrapSocket, type SocketTraits } from "./node-socket-facts.ts";
import { handshakeReason, peerChain, serverOptionsOf, serverRefusal } from "./node-tls.ts";
import { formatAddress, listenError, systemCode } from "./socket-errors.ts";

interface Reception {
  readonly options: ListenOptions;
  readonly onSocket: (socket: ByteSocket) => void;
  readonly events: ListenEvents;
  readonly traits: SocketTraits;
}

export async function listenNode(
  options: ListenOptions,
  onSocket: (socket: ByteSocket) => void,
  events: ListenEvents,
  traits: SocketTraits,
): Promise<Listener> {
  const reception: Reception = { options, onSocket, events, traits };
  const { tls } = options;
  const secure = tls === undefined ? null : openTls(tls, reception);
  const server =
    secure === null ? openPlain(reception) : tls?.plaintext === "accept" ? openBoth(secure, reception) : secure;
  const listener = await bind(server, secure, options);
  server.on("error", (error) => events.error?.(error));
  return listener;
}

function openPlain(reception: Reception): Server {
  const server = createNetServer({ allowHalfOpen: true, noDelay: true });
  server.on("connection", (socket) => handOver(socket, null, reception));
  return server;
}

function openBoth(secure: TlsServer, reception: Reception): Server {
  const server = createNetServer({ allowHalfOpen: true, noDelay: true });
  server.on("connection", (socket) =>
    sortByFirstByte(socket, reception.traits.handshakeTimeoutMs, (isTls) => {
      if (isTls) secure.emit("connection", socket);
      else handOver(socket, null, reception);
    }),
  );
  return server;
}

function openTls(tls: ListenTls, reception: Reception): TlsServer {
  const { events, traits } = reception;
  let server: TlsServer;
  try {
    server = createTlsServer({
      ...serverOptionsOf(tls, traits.handshakeTimeoutMs),
      allowHalfOpen: true,
      noDelay: true,
    });
  } catch (error) {
    throw unusableMaterial(error);
  }
  const refuse = (socket: TLSSocket | undefined, reason: string): void => {
    // Without a listener a late error of this socket would end the process.
    socket?.on("error", () => {});
    const remoteAddress = remoteAddressOf(socket);
    socket?.destroy();
    events.handshakeRefused?.(reason, remoteAddress);
  };
  // Reading the address makes the runtime remember it: after a refusal there is no connection left to ask.
  server.on("connection", (socket: Socket) => void socket.remoteAddress);
  server.on("tlsClientError", (error: Error, socket: TLSSocket | undefined) =>
    refuse(socket, handshakeReason(error, socket)),
  );
  server.on("secureConnection", (socket: TLSSocket) => {
    // Nothing thrown in a TLS callback may reach the runtime, which would end the process (Node CVE-2026-21637).
    try {
      const chain = peerChain(socket);
      const refusal = serverRefusal(socket, tls.clientAuth, chain);
      if (refusal !== null) return refuse(socket, refusal);
      socket.setNoDelay(true);
      handOver(socket, chain, reception);
    } catch (error) {
      refuse(socket, "certificate could not be read");
      events.error?.(MeshError.from(error));
    }
  });
  return server;
}

/** `chain` is null for a connection without TLS. */
function handOver(socket: Socket, chain: readonly Uint8Array[] | null, reception: Reception): void {
  const { options, onSocket, events, traits } = reception;
  const remoteAddress = remoteAddressOf(socket) || (options.path === undefined ? "" : "unix");
  const facts = { remoteAddress, peerCertificates: chain ?? [], encrypted: chain !== null };
  const wrapped = wrapSocket(socket, facts, traits);
  try {
    onSocket(wrapped);
  } catch (error) {
    const reason = MeshError.from(error);
    wrapped.destroy(reason);
    events.error?.(reason);
  }
}

/** ::ffff:10.0.0.1 is what a dual-stack listener makes of 10.0.0.1; policies and logs want the latter. */
function remoteAddressOf(socket: Socket | undefined): string {
  // A socket refused during its handshake knows no address any more on Node and Deno; the TCP socket below it does.
  const address = socket?.remoteAddress ?? (socket as { _parent?: Socket } | undefined)?._parent?.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

async function bind(server: Server, secure: TlsServer | null, options: ListenOptions): Promise<Listener> {
  const address = formatAddress(options);
  try {
    await listenOnce(server, options);
  } catch (error) {
    const { path } = options;
    if (path === undefined || systemCode(error) !== "EADDRINUSE" || !isSocketFile(path) || (await isAnswering(path)))
      throw listenError(address, error);
    // What a process that died left behind; nobody answers there.
    unlinkSync(path);
    await listenOnce(server, options).catch((error: unknown) => {
      throw listenError(address, error);
    });
  }
  const at = server.address();
  const port = typeof at === "object" && at !== null ? at.port : 0;
  return {
    address: formatAddress(options.path === undefined ? { host: options.host, port } : options),
    port,
    rotate(identity: TlsIdentity, trust: TlsTrust): void {
      if (secure === null) return;
      try {
        secure.setSecureContext(materialOf(identity, trust));
      } catch (error) {
        throw unusableMaterial(error);
      }
    },
    close(): Promise<void> {
      // Its callback waits for live connections; ours stay. The port is free as soon as the handle is closed.
      if (server.listening) server.close();
      return new Promise((resolve) => setImmediate(resolve));
    },
  };
}

function listenOnce(server: Server, options: ListenOptions): Promise<void> {
  const { host = "127.0.0.1", port = 0, path, backlog = 1024, reusePort = false } = options;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(
      path === undefined ? { host, port, backlog, ...(reusePort && { reusePort }) } : { path, backlog },
      () => {
        server.off("error", reject);
        resolve();
      },
    );
  });
}

/** Somebody's data may have the name of our socket; that is not ours to remove. */
function isSocketFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const answer = (isThere: boolean) => (): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once("connect", answer(true));
    socket.once("error", answer(false));
  });
}
