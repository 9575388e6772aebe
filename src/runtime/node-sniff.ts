/** TLS and plaintext on one port, told apart by the first byte: for a migration to mTLS, never by default. */
import type { Socket } from "node:net";

/** ContentType handshake (RFC 8446 §5.1); no HTTP method begins with it. */
const TLS_HANDSHAKE = 22;

/**
 * Calls `decided` once the first byte is there, with nothing taken from the socket. A client that stays silent for `timeoutMs`,
 * or leaves before, is closed: on neither protocol does the server speak first.
 */
export function sortByFirstByte(socket: Socket, timeoutMs: number, decided: (isTls: boolean) => void): void {
  const giveUp = (): void => {
    forget();
    socket.destroy();
  };
  const onData = (chunk: Uint8Array): void => {
    forget();
    socket.pause();
    socket.unshift(chunk);
    decided(chunk[0] === TLS_HANDSHAKE);
  };
  const forget = (): void => {
    clearTimeout(timer);
    socket.off("data", onData);
    socket.off("end", giveUp);
    socket.off("error", giveUp);
  };
  const timer = setTimeout(giveUp, timeoutMs);
  socket.on("error", giveUp);
  socket.on("end", giveUp);
  socket.on("data", onData);
}
