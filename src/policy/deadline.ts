/** How long a request may take: all attempts together, and each of them. Alarms hang on one timer wheel. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Exchange, Finisher, Layer, Routed } from "../exchange.ts";
import { Alarm, type Alarms } from "../timer-wheel.ts";

export interface DeadlineDeps {
  readonly clock: Clock;
  readonly wheel: Alarms;
}

/** Milliseconds the caller still waits. Envoy's name; read from whoever called us and set for whoever we call. */
const leftHeader = "x-envoy-expected-rq-timeout-ms";

/**
 * Ends an exchange when its time is up. The caller's own remaining time can only shorten it, so it is believed from anybody:
 * whoever lies fails his own request.
 *
 * @throws {MeshError} ERR_DEADLINE_PAST (504, `DX`) without touching the network; aborts with ERR_DEADLINE_EXCEEDED (504, `UT`)
 */
export function deadline<X extends Routed>(deps: DeadlineDeps): Layer<X> {
  const { clock, wheel } = deps;
  return (next) => (x) => {
    const { requestMs } = x.route.rule.timeouts;
    const leftMs = parseMilliseconds(x.head.get(leftHeader));
    const configuredMs = requestMs === 0 ? Infinity : requestMs;
    const allowedMs = Math.min(configuredMs, leftMs);
    if (allowedMs === Infinity) return next(x);

    const nowMs = clock.nowMs();
    x.deadlineMs = Math.min(x.deadlineMs, x.startedAtMs + allowedMs);
    if (x.deadlineMs <= nowMs) return Promise.reject(pastOnArrival(leftMs));
    x.requestEdits.set(leftHeader, String(Math.max(1, Math.floor(x.deadlineMs - nowMs))));
    const alarm = new RequestAlarm(wheel, x);
    wheel.set(alarm, x.deadlineMs);
    x.atFinish(alarm);
    return next(x);
  };
}

class RequestAlarm extends Alarm implements Finisher {
  readonly #wheel: Alarms;
  readonly #exchange: Exchange;

  constructor(wheel: Alarms, exchange: Exchange) {
    super();
    this.#wheel = wheel;
    this.#exchange = exchange;
  }

  override ring(nowMs: number): void {
    const x = this.#exchange;
    // A tunnel lives as long as its ends want (Envoy lifts the route timeout on upgrade, too).
    if (x.status === 101) return;
    const { requestMs, coversBody } = x.route!.rule.timeouts;
    if (x.respondedAtMs > 0) {
      // A body is cut by a limit chosen here only. What a caller announced ends with the head: if it covers the body,
      // the caller will leave, and if it does not, cutting would break what is still being read.
      if (requestMs === 0 || coversBody === false) return;
      const endsAtMs = x.startedAtMs + requestMs;
      if (nowMs < endsAtMs) return this.#wheel.set(this, endsAtMs);
    }
    const waitedMs = Math.round(x.deadlineMs - x.startedAtMs);
    x.abort(
      new MeshError(
        "ERR_DEADLINE_EXCEEDED",
        `${x.cluster!.service} took longer than the ${waitedMs} ms this request has`,
        {
          sent: "body",
          advice:
            requestMs === waitedMs
              ? "Raise timeouts.request of the rule or policy, or find out what is slow"
              : "The caller allowed no more time",
        },
      ),
    );
  }

  finished(): void {
    this.#wheel.cancel(this);
  }
}

/**
 * Ends one attempt when its time is up; whether there is another is `retry`'s decision. Covers the response body of the
 * attempt that is forwarded (Gateway API `backendRequest`).
 */
export function attemptTimeout<X extends Routed>(deps: DeadlineDeps): Layer<X> {
  const { clock, wheel } = deps;
  return (next) => async (x) => {
    const { backendRequestMs } = x.route.rule.timeouts;
    if (backendRequestMs === 0) return next(x);
    const alarm = new AttemptAlarm(wheel, x, backendRequestMs);
    wheel.set(alarm, clock.nowMs() + backendRequestMs);
    x.atAttemptEnd(alarm);
    try {
      return await next(x);
    } catch (reason) {
      wheel.cancel(alarm);
      throw reason;
    }
  };
}

class AttemptAlarm extends Alarm implements Finisher {
  readonly #wheel: Alarms;
  readonly #exchange: Exchange;
  readonly #allowedMs: number;

  constructor(wheel: Alarms, exchange: Exchange, allowedMs: number) {
    super();
    this.#wheel = wheel;
    this.#exchange = exchange;
    this.#allowedMs = allowedMs;
  }

  override ring(): void {
    const x = this.#exchange;
    const { interrupt } = x;
    if (x.status === 101 || interrupt === null) return;
    x.interrupt = null;
    interrupt(
      new MeshError(
        "ERR_DEADLINE_EXCEEDED",
        `An attempt at ${x.cluster!.service} took longer than ${this.#allowedMs} ms`,
        {
          // Nobody knows how far the endpoint got: only what may be done twice is repeated.
          sent: "body",
          advice: "Raise timeouts.backendRequest of the rule or policy, or find out what is slow",
        },
      ),
    );
  }

  finished(): void {
    this.#wheel.cancel(this);
  }
}

function pastOnArrival(leftMs: number): MeshError {
  return new MeshError("ERR_DEADLINE_PAST", "The time this request has was up before it could be sent", {
    advice: leftMs <= 0 ? `The caller sent ${leftHeader}: 0` : "Give the call more time, or relieve this process",
  });
}

/** Infinity for anything but plain digits: a header we cannot read limits nothing. */
function parseMilliseconds(text: string | null): number {
  if (text === null || text.length === 0 || text.length > 10) return Infinity;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return Infinity;
    value = value * 10 + digit;
  }
  return value;
}
