/** Connects by `node:net` or `node:tls` and hands the socket over only when the peer is proven to be the right one. */
import { connect as connectNet, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { MeshError } from "../errors.ts";
import type { ByteSocket, ConnectOptions, ConnectTls } from "./contract.ts";
import { wrapSocket, type SocketTraits } from "./node-socket-facts.ts";
import { unusableMaterial } from "./node-tls-material.ts";
import { clientHandshakeError, clientOptionsOf, peerChain } from "./node-tls.ts";
import { connectError, formatAddress } from "./socket-errors.ts";

export const defaultConnectTimeoutMs = 2_000;

export function connectNode(options: ConnectOptions, traits: SocketTraits): Promise<ByteSocket> {
  const address = formatAddress(options);
  const { tls, signal, timeoutMs = defaultConnectTimeoutMs } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(givenUp(address, signal));
    let socket: Socket;
    try {
      socket = open(options);
    } catch (error) {
      // Bad key material throws here, in our own process: not the upstream's fault.
      return reject(unusableMaterial(error));
    }
    let isConnected = false;

    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.off(tls === undefined ? "connect" : "secureConnect", onReady);
      socket.off("error", onError);
      socket.off("close", onClose);
    };
    const fail = (error: MeshError): void => {
      finish();
      // A late error of a socket nobody has any more must not become an uncaught one.
      socket.on("error", () => {});
      socket.destroy();
      reject(error);
    };
    const onError = (error: Error): void => {
      fail(tls !== undefined && isConnected ? clientHandshakeError(address, error) : connectError(address, error));
    };
    const onClose = (): void => {
      fail(new MeshError("ERR_CONNECT_FAILED", `${address}: the peer closed the connection before it was ready`));
    };
    const onAbort = (): void => fail(givenUp(address, signal!));
    const onReady = (): void => {
      let chain: readonly Uint8Array[] = [];
      if (tls !== undefined) {
        try {
          chain = peerChain(socket as TLSSocket);
          const refusal = refusalOf(socket as TLSSocket, tls, chain);
          if (refusal !== null) return fail(new MeshError("ERR_UPSTREAM_IDENTITY", `${address}: ${refusal}`));
        } catch (error) {
          return fail(
            new MeshError("ERR_UPSTREAM_IDENTITY", `${address}: its identity could not be checked`, { cause: error }),
          );
        }
      }
      finish();
      const socketAddress = socket.remoteAddress ?? options.path ?? options.host ?? "";
      resolve(
        wrapSocket(
          socket,
          { remoteAddress: socketAddress, peerCertificates: chain, encrypted: tls !== undefined },
          traits,
        ),
      );
    };
    const timer = setTimeout(() => {
      const phase = tls !== undefined && isConnected ? "TLS handshake" : "connection";
      fail(new MeshError("ERR_CONNECT_TIMEOUT", `${address}: no ${phase} within ${timeoutMs} ms`));
    }, timeoutMs);

    signal?.addEventListener("abort", onAbort, { once: true });
    if (tls !== undefined) socket.once("connect", () => (isConnected = true));
    socket.on(tls === undefined ? "connect" : "secureConnect", onReady);
    socket.on("error", onError);
    socket.on("close", onClose);
  });
}

function open(options: ConnectOptions): Socket {
  const { host = "127.0.0.1", port = 0, path, tls } = options;
  const where = path === undefined ? { host, port } : { path };
  // `allowHalfOpen`: a caller that finished sending still wants its reply. The contract lets the reader decide.
  const common = { ...where, allowHalfOpen: true, noDelay: true };
  if (tls === undefined) return connectNet(common);
  const socket = connectTls({ ...common, ...clientOptionsOf(tls) });
  // Bun and Deno do not hand the option on to the TCP socket of a TLS one.
  socket.setNoDelay(true);
  return socket;
}

function refusalOf(socket: TLSSocket, tls: ConnectTls, chain: readonly Uint8Array[]): string | null {
  if (tls.unverified === true) return null;
  if (!socket.authorized) return "its certificate was not verified";
  if (chain.length === 0) return "it showed no certificate";
  // We never offer a session; if a runtime resumed one nevertheless, this certificate was verified some other day.
  if (socket.isSessionReused()) return "it resumed a session that was not offered";
  if (tls.verifyPeer === undefined) return null;
  const refusal = tls.verifyPeer(chain);
  return refusal === null ? null : `its certificate is refused: ${refusal}`;
}

function givenUp(address: string, signal: AbortSignal): MeshError {
  const reason: unknown = signal.reason;
  if (reason instanceof MeshError) return reason;
  return new MeshError("ERR_CONNECT_FAILED", `${address}: the attempt was called off`, { cause: reason });
}
