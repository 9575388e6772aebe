/** Tells once how an exchange ended: metrics, access log and tap hear of it through `Events`. */
import type { Accepted, Exchange, Finisher, Layer } from "../exchange.ts";
import type { Events } from "./events.ts";

export interface ObserveDeps {
  readonly events: Events;
}

/**
 * Adds nothing to the exchange. Reads what the others left on it when its last byte is written, so whoever registers a
 * finisher below is heard first: finishers run in reverse order.
 */
export function observe(deps: ObserveDeps): Layer<Accepted> {
  const { events } = deps;
  const finisher: Finisher = {
    finished(x) {
      settle(x);
      events.requestFinished?.(x);
    },
  };
  return (next) => (x) => {
    events.requestStarted?.(x);
    x.atFinish(finisher);
    return next(x);
  };
}

/** What was cut short keeps the status its caller saw, and gets the flag that says who cut it. */
function settle(x: Exchange): void {
  const reason = x.aborted;
  if (reason === null) return;
  if (x.flag === "") x.flag = reason.flag;
  if (x.status === 0) x.status = reason.status;
}
