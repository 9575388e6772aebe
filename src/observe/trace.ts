/** Names each request: `x-request-id` for people, `traceparent` for tracers. The mesh is a hop, so it is a span. */
import type { Accepted, Exchange, Layer } from "../exchange.ts";
import { randomIds, type IdSource } from "./ids.ts";
import { formatTraceParent, parseTraceParent } from "./trace-context.ts";

export interface TraceDeps {
  /** @default `randomIds()` */
  readonly ids?: IdSource;
  /**
   * Share of the traces begun here that carry the sampled bit, 0..1. A caller's own decision is never changed.
   * The default leaves the decision to the tracers behind us: a parent that says "not sampled" would silence them all.
   *
   * @default 1
   */
  readonly sampledRatio?: number;
}

/** One more than the largest number that 32 bits of a trace id can be. */
const everyTrace = 0x1_0000_0000;

/** Fills `requestId` and `traceId`, and has both headers forwarded. */
export function trace(deps: TraceDeps): Layer<Accepted> {
  const ids = deps.ids ?? randomIds();
  // Decided on the id itself: every sidecar with the same ratio would decide the same, and no random number is needed.
  const sampledBelow = Math.round((deps.sampledRatio ?? 1) * everyTrace);
  return (next) => (x) => {
    nameRequest(x, ids);
    joinTrace(x, ids, sampledBelow);
    return next(x);
  };
}

function nameRequest(x: Exchange, ids: IdSource): void {
  // A caller without identity is outside the trust boundary: its id could be anybody's.
  const received = x.direction === "outbound" || x.connection.peer !== null ? x.head.get("x-request-id") : null;
  if (received !== null && isUsableId(received)) {
    x.requestId = received;
    return;
  }
  x.requestId = ids.requestId();
  x.requestEdits.set("x-request-id", x.requestId);
}

function joinTrace(x: Exchange, ids: IdSource, sampledBelow: number): void {
  const received = x.head.get("traceparent");
  const parent = received === null ? null : parseTraceParent(received);
  if (parent !== null) {
    x.traceId = parent.traceId;
    x.requestEdits.set("traceparent", formatTraceParent(parent.traceId, ids.spanId(), parent.isSampled));
    return;
  }
  x.traceId = ids.traceId();
  const isSampled = sampledBelow === everyTrace || Number.parseInt(x.traceId.slice(24), 16) < sampledBelow;
  x.requestEdits.set("traceparent", formatTraceParent(x.traceId, ids.spanId(), isSampled));
  // Its vendors speak of a trace we do not continue (Trace Context §3.3.1.1).
  x.requestEdits.remove("tracestate");
}

/** Printable ASCII without spaces, and short: it goes into every log line of every hop. */
function isUsableId(id: string): boolean {
  if (id.length === 0 || id.length > 128) return false;
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i);
    if (code <= 0x20 || code > 0x7e) return false;
  }
  return true;
}
