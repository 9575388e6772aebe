/** Serves a `fetch` handler on our own wire: what the control plane, the admin port and the health port stand on. */
import { systemClock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { HeaderEdits } from "../headers.ts";
import { problemResponse } from "../problem.ts";
import type { ByteSocket, ListenOptions, SocketTransport } from "../runtime/contract.ts";
import { wireDefaults, type Reception, type WireRequest } from "../wire/message.ts";
import { serveConnection } from "../wire/server-connection.ts";
import type { ServerConnection } from "../wire/server-options.ts";
import { Sweeper } from "../wire/sweeper.ts";
import type { FetchHandler, FetchServer, ServeFetchOptions } from "./wire-options.ts";

const MAX_BODY_BYTES = 1_048_576;

/** @throws {MeshError} ERR_OPTION_INVALID if the address is taken */
export async function serveFetch(
  transport: SocketTransport,
  listen: ListenOptions,
  handler: FetchHandler,
  options: ServeFetchOptions = {},
): Promise<FetchServer> {
  const { clock = systemClock, limits = wireDefaults, maxBodyBytes = MAX_BODY_BYTES } = options;
  const refuse =
    options.refuse ?? ((error: MeshError) => problemResponse(error, { audience: "public", by: "fetchmesh" }));
  const sweeper = new Sweeper(clock);
  const open = new Set<ServerConnection>();
  let emptied: (() => void) | null = null;

  const accept = (socket: ByteSocket): void => {
    open.add(
      serveConnection(socket, {
        limits,
        clock,
        sweeper,
        refuse,
        maxBodyBytes,
        scheme: socket.encrypted ? "https" : "http",
        receive: (request, respond) => receive(request, respond, socket),
        closed: (connection) => {
          open.delete(connection);
          if (open.size === 0) emptied?.();
        },
      }),
    );
  };

  const receive = (request: WireRequest, respond: (response: Response) => void, socket: ByteSocket): Reception => {
    const reply = async (): Promise<Response> => handler(request, { socket });
    reply().then(respond, (error: unknown) => respond(refuse(MeshError.from(error))));
    return new PlainReception();
  };

  const listener = await transport.listen(listen, accept, options.events);
  const cut = (): void => {
    for (const connection of open)
      connection.destroy(new MeshError("ERR_DOWNSTREAM_CLOSED", "The server is shutting down"));
  };
  return {
    address: listener.address,
    port: listener.port,
    rotate: (identity, trust) => listener.rotate(identity, trust),
    async drain(timeoutMs) {
      const closed = listener.close();
      for (const connection of open) connection.drain();
      if (open.size > 0) {
        await new Promise<void>((resolve) => {
          const timer = clock.after(timeoutMs, resolve);
          emptied = () => {
            timer.cancel();
            resolve();
          };
        });
      }
      cut();
      await closed;
    },
    async close() {
      const closed = listener.close();
      cut();
      await closed;
    },
  };
}

/** Nothing is recorded here: `request.signal` tells the handler of an abort. */
class PlainReception implements Reception {
  readonly responseEdits: HeaderEdits = new HeaderEdits();
  bytesReceived = 0;
  bytesSent = 0;
  status = 0;
  abort(): void {}
  finish(): void {}
}
