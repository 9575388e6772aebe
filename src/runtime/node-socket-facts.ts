/** What a connected socket is, as far as the runtime tells, put in front of it. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { NodeSocket, type ReadControl } from "./node-socket.ts";

/** How this runtime's sockets behave; from its capabilities. */
export interface SocketTraits {
  readonly tlsIgnoresPause: boolean;
  readonly tlsReadControl: (socket: TLSSocket) => ReadControl | null;
  readonly maxHeldBytes: number;
  readonly handshakeTimeoutMs: number;
  readonly resetsTls: boolean;
}

export interface VerifiedFacts {
  readonly remoteAddress: string;
  readonly peerCertificates: readonly Uint8Array[];
  readonly encrypted: boolean;
}

export function wrapSocket(socket: Socket, facts: VerifiedFacts, traits: SocketTraits): NodeSocket {
  const alpn = facts.encrypted ? (socket as TLSSocket).alpnProtocol : null;
  const ignoresPause = facts.encrypted && traits.tlsIgnoresPause;
  return new NodeSocket(socket, {
    ...facts,
    remotePort: socket.remotePort ?? 0,
    localPort: socket.localPort ?? 0,
    alpn: typeof alpn === "string" && alpn !== "" ? alpn : null,
    ignoresPause,
    readControl: ignoresPause ? traits.tlsReadControl(socket as TLSSocket) : null,
    maxHeldBytes: traits.maxHeldBytes,
    // A socket without a port is a Unix one.
    canReset: socket.remotePort !== undefined && (!facts.encrypted || traits.resetsTls),
  });
}
