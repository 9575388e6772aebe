/**
 * Sockets by `node:net` and `node:tls`: one code for Bun, Deno and Node, at native cost on Bun. What a runtime cannot do is
 * in its `Capabilities`; this code asks those, never for a runtime's name.
 */
import { MeshError } from "../errors.ts";
import type { ByteSocket, Capabilities, ConnectOptions, Listener, ListenEvents, ListenOptions, SocketTransport } from "./contract.ts";
import { connectNode } from "./node-connect.ts";
import { listenNode } from "./node-listen.ts";

export interface NodeTransportOptions {
  /**
   * Bytes that may arrive on one TLS socket while its reader is paused, on a runtime that cannot stop the peer. Beyond it the
   * connection is destroyed.
   *
   * @default 8388608
   */
  readonly maxHeldBytes?: number;
}

export function nodeTransport(capabilities: Capabilities, options: NodeTransportOptions = {}): SocketTransport {
  const limits = {
    tlsIgnoresPause: capabilities.gaps["bounded-h1-over-tls"] !== undefined,
    maxHeldBytes: options.maxHeldBytes ?? 8_388_608,
  };
  return {
    kind: "sockets",
    name: `node:net on ${capabilities.runtime}`,
    capabilities,
    async listen(options: ListenOptions, onSocket: (socket: ByteSocket) => void, events: ListenEvents = {}): Promise<Listener> {
      const gap = options.reusePort === true ? capabilities.gaps["reuse-port"] : undefined;
      if (gap !== undefined) throw new MeshError("ERR_CAPABILITY_MISSING", `cannot share a port on ${capabilities.runtime}: ${gap}`);
      return listenNode(options, onSocket, events, limits);
    },
    connect(options: ConnectOptions): Promise<ByteSocket> {
      return connectNode(options, limits);
    },
  };
}
