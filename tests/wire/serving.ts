/** A server connection on a scripted socket, and what it was told. */
import { HeaderEdits } from "../../src/headers.ts";
import type { MeshError } from "../../src/errors.ts";
import { problemResponse } from "../../src/problem.ts";
import type { Receive, Reception, WireLimits, WireRequest } from "../../src/wire/message.ts";
import { wireDefaults } from "../../src/wire/message.ts";
import { serveConnection } from "../../src/wire/server-connection.ts";
import type { ServerConnection } from "../../src/wire/server-options.ts";
import { Sweeper } from "../../src/wire/sweeper.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { ScriptedSocket } from "./scripted-socket.ts";

export class RecordedReception implements Reception {
  readonly responseEdits: HeaderEdits = new HeaderEdits();
  bytesReceived = 0;
  bytesSent = 0;
  status = 0;
  aborted: MeshError | null = null;
  finished = 0;

  abort(reason: MeshError): void {
    this.aborted ??= reason;
  }

  finish(): void {
    this.finished++;
  }
}

export interface Served {
  readonly request: WireRequest;
  readonly respond: (response: Response) => void;
  readonly reception: RecordedReception;
}

export interface Serving {
  readonly socket: ScriptedSocket;
  readonly clock: VirtualClock;
  readonly connection: ServerConnection;
  readonly served: Served[];
  readonly refused: MeshError[];
  isClosed: boolean;
}

export interface ServeOptions {
  readonly limits?: Partial<WireLimits>;
  readonly maxBodyBytes?: number;
  /** Called for each request after it was recorded. */
  readonly handle?: (served: Served) => void;
}

export function serve(options: ServeOptions = {}): Serving {
  const socket = new ScriptedSocket();
  const clock = new VirtualClock();
  const served: Served[] = [];
  const refused: MeshError[] = [];
  const receive: Receive = (request, respond) => {
    const one = { request, respond, reception: new RecordedReception() };
    served.push(one);
    options.handle?.(one);
    return one.reception;
  };
  const serving = { socket, clock, served, refused, isClosed: false } as { -readonly [K in keyof Serving]: Serving[K] };
  serving.connection = serveConnection(socket, {
    limits: { ...wireDefaults, ...options.limits },
    clock,
    sweeper: new Sweeper(clock),
    receive,
    refuse: (error) => {
      refused.push(error);
      return problemResponse(error, { audience: "public", by: "test" });
    },
    ...(options.maxBodyBytes !== undefined && { maxBodyBytes: options.maxBodyBytes }),
    closed: () => {
      serving.isClosed = true;
    },
  });
  return serving;
}

/** Lets promises settle: a platform `Response` delivers its body over a handful of them. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
