/** The only place where an error on a request's way becomes a `Response`. */
import { describeError, MeshError } from "./errors.ts";
import type { Accepted, Exchange, Layer } from "./exchange.ts";
import { problemResponse, type Audience } from "./problem.ts";

export interface RescueDeps {
  /** Who refuses, as replies name it: `sidecar orders/orders-6f2c`. */
  readonly by: string;
  /** Told of defects: errors nobody gave a code. */
  readonly onDefect?: (error: MeshError, exchange: Exchange) => void;
}

/**
 * Turns whatever the stations below throw into a reply, and leaves error, flag and status on the exchange. Once the response
 * head has left nothing arrives here any more: the wire truncates the body, visibly.
 */
export function rescue(deps: RescueDeps): Layer<Accepted> {
  return (next) => async (x) => {
    try {
      const response = await next(x);
      x.status = response.status;
      return response;
    } catch (reason) {
      return reply(x, MeshError.from(reason), deps);
    }
  };
}

function reply(x: Exchange, error: MeshError, deps: RescueDeps): Response {
  x.error = error;
  // A station that gave up for a reason of its own (`URX`, `RB`) has said so; the error's flag stays on the error.
  if (x.flag === "") x.flag = error.flag;
  x.status = error.status;
  if (error.code === "ERR_INTERNAL") deps.onDefect?.(error, x);
  // Nobody is there to read it. 499 is nginx's number for the log; no byte of it is sent.
  if (error.code === "ERR_DOWNSTREAM_CLOSED") return new Response(null, { status: error.status });
  return problemResponse(error, {
    audience: audienceOf(x),
    by: deps.by,
    requestId: x.requestId,
    isHead: x.head.method === "HEAD",
  });
}

/** The application's own sidecar tells it everything; a peer that proved who it is, what concerns it; others nothing. */
function audienceOf(x: Exchange): Audience {
  if (x.direction === "outbound") return "app";
  return x.connection.peer === null ? "public" : "peer";
}

/** One line about a defect, for a log. */
export function defectLine(error: MeshError): string {
  const { cause } = error;
  return cause instanceof Error && cause.stack !== undefined ? cause.stack : describeError(error);
}
