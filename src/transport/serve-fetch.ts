/** Serves a `fetch` handler on our own wire: what the control plane, the admin port and the health port stand on. */
import { systemClock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { HeaderEdits } from "../headers.ts";
import { problemResponse } from "../problem.ts";
import type { ByteSocket, ListenOptions, SocketTransport } from "../runtime/contract.ts";
import { wireDefaults, type Reception, type WireRequest } from "../wire/message.ts";
import { OpenConnections } from "../wire/open-connections.ts";
import { serveConnection } from "../wire/server-connection.ts";
import { Sweeper } from "../wire/sweeper.ts";
import type { FetchHandler, FetchServer, ServeFetchOptions } from "./wire-options.ts";

const MAX_BODY_BYTES = 1_048_576;
/** Ten thousand sidecars are more than one control plane is for; probes and scrapers are a handful. */
const MAX_CONNECTIONS = 10_000;

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
  const open = new OpenConnections(clock);

  const accept = (socket: ByteSocket): void => {
    if (open.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    open.add(
      serveConnection(socket, {
        limits,
        clock,
        sweeper,
        refuse,
        maxBodyBytes,
        scheme: socket.encrypted ? "https" : "http",
        receive: (request, respond) => receive(request, respond, socket),
        closed: (connection) => open.delete(connection),
      }),
    );
  };

  const receive = (request: WireRequest, respond: (response: Response) => void, socket: ByteSocket): Reception => {
    const reply = async (): Promise<Response> => handler(request, { socket });
    reply().then(respond, (error: unknown) => respond(refuse(MeshError.from(error))));
    return new PlainReception();
  };

  const listener = await transport.listen(listen, accept, options.events);
  return {
    address: listener.address,
    port: listener.port,
    rotate: (identity, trust) => listener.rotate(identity, trust),
    ...open.endings(listener, shuttingDown),
  };
}

const shuttingDown: MeshError = new MeshError("ERR_DOWNSTREAM_CLOSED", "The server is shutting down");

/** Nothing is recorded here: `request.signal` tells the handler of an abort. */
class PlainReception implements Reception {
  readonly responseEdits: HeaderEdits = new HeaderEdits();
  bytesReceived = 0;
  bytesSent = 0;
  status = 0;
  abort(): void {}
  finish(): void {}
}
