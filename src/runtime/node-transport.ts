/**
 * Sockets by `node:net` and `node:tls`: one code for Bun, Deno and Node, at native cost on Bun. Where a runtime differs, its own
 * file says so in `Capabilities` and options; nothing here asks for a runtime's name.
 */
import type { TLSSocket } from "node:tls";
import { MeshError } from "../errors.ts";
import type {
  ByteSocket,
  Capabilities,
  ConnectOptions,
  Listener,
  ListenEvents,
  ListenOptions,
  SocketTransport,
} from "./contract.ts";
import { connectNode } from "./node-connect.ts";
import { listenNode } from "./node-listen.ts";
import type { SocketTraits } from "./node-socket-facts.ts";
import type { ReadControl } from "./node-socket.ts";

export interface NodeTransportOptions {
  /**
   * For a runtime that goes on reading from a paused TLS socket: finds what stops it, or null where there is nothing to be
   * found. Absent: `pause()` works.
   */
  readonly tlsReadControl?: (socket: TLSSocket) => ReadControl | null;
  /**
   * Bytes that may arrive on one such socket while its reader is paused. Beyond it the connection is destroyed.
   *
   * @default 8388608
   */
  readonly maxHeldBytes?: number;
  /**
   * From accepting a connection to its finished handshake; slower clients are cut off.
   *
   * @default 10000
   */
  readonly handshakeTimeoutMs?: number;
  /** The runtime can end a TLS connection by RST. Elsewhere the peer of a destroyed one sees a clean end. @default false */
  readonly resetsTls?: boolean;
}

export function nodeTransport(capabilities: Capabilities, options: NodeTransportOptions = {}): SocketTransport {
  const { tlsReadControl, maxHeldBytes = 8_388_608, handshakeTimeoutMs = 10_000, resetsTls = false } = options;
  const traits: SocketTraits = {
    tlsIgnoresPause: tlsReadControl !== undefined || capabilities.gaps["bounded-h1-over-tls"] !== undefined,
    tlsReadControl: tlsReadControl ?? (() => null),
    maxHeldBytes,
    handshakeTimeoutMs,
    resetsTls,
  };
  return {
    kind: "sockets",
    name: `node:net on ${capabilities.runtime}`,
    capabilities,
    async listen(
      options: ListenOptions,
      onSocket: (socket: ByteSocket) => void,
      events: ListenEvents = {},
    ): Promise<Listener> {
      const gap = options.reusePort === true ? capabilities.gaps["reuse-port"] : undefined;
      if (gap !== undefined)
        throw new MeshError("ERR_CAPABILITY_MISSING", `cannot share a port on ${capabilities.runtime}: ${gap}`);
      return listenNode(options, onSocket, events, traits);
    },
    connect(options: ConnectOptions): Promise<ByteSocket> {
      return connectNode(options, traits);
    },
  };
}
