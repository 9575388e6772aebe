/** Repeats an attempt that failed, if repeating is safe, useful and affordable. */
import type { Clock } from "../clock.ts";
import { MeshError, type Sent } from "../errors.ts";
import type { Exchange, Finisher, Layer, Routed } from "../exchange.ts";
import type { Events } from "../observe/events.ts";
import type { Random } from "../random.ts";
import type { WireResponse } from "../wire/message.ts";
import { backoffMs } from "./backoff.ts";
import { classifyError } from "./classify.ts";
import { isIdempotent, isReplayable } from "./replay-body.ts";

export interface RetryDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
}

type Refusal = "budget" | "limit" | "unsafe" | "deadline";

/** Envoy's name; "1" on the first try, so that a service can see that a request is not the first of its kind. */
const attemptHeader = "x-envoy-attempt-count";

/**
 * Stands on the outbound side only: one tier of a mesh may repeat a request, or a chain of three multiplies a failure by
 * twenty-seven. What finally came back, a response or an error, passes through as it is.
 */
export function retry(deps: RetryDeps): Layer<Routed> {
  const { clock } = deps;
  return (next) => async (x) => {
    x.cluster.retryBudget.request(clock.nowMs());
    for (;;) {
      x.attempt++;
      x.requestEdits.set(attemptHeader, String(x.attempt));
      let response: Response | null = null;
      let error: MeshError | null = null;
      try {
        response = await next(x);
      } catch (reason) {
        error = MeshError.from(reason);
      }

      const failure = failureOf(x, response, error);
      const waitMs = failure === null ? null : planRepeat(x, failure, deps);
      if (waitMs !== null) {
        giveUpAttempt(x, response);
        x.cluster.limits.retries++;
        x.atAttemptEnd(repeatEnded);
        await pause(x, waitMs, clock);
        if (x.aborted === null) continue;
        throw x.aborted;
      }
      if (error === null) return response!;
      x.endAttempt();
      throw error;
    }
  };
}

/** Why an attempt is worth repeating at all, and how far it got. `null`: its outcome stands. */
interface Failure {
  readonly sent: Sent;
  readonly reason: string;
}

function failureOf(x: Routed, response: Response | null, error: MeshError | null): Failure | null {
  if (error !== null) {
    if (x.aborted !== null || classifyError(error) !== "failure") return null;
    return { sent: error.sent, reason: error.code };
  }
  const { status } = response!;
  if (!x.route.rule.retry.codes.has(status)) return null;
  // Whoever limits us must not be called more often for it (Envoy, unless told otherwise).
  if (headerOf(response!, "x-envoy-ratelimited") !== null) return null;
  return { sent: "body", reason: String(status) };
}

/** Milliseconds to wait before the next attempt, already paid for; `null` if the outcome stands. The flag says why. */
function planRepeat(x: Routed, failure: Failure, deps: RetryDeps): number | null {
  const { clock, random, events } = deps;
  const { retry: config } = x.route.rule;
  if (config.retries === 0 || x.aborted !== null) return null;
  if (!isSafe(x, failure.sent)) return refuse(x, events, "unsafe");
  if (x.attempt > config.retries) {
    x.flag = "URX";
    return null;
  }
  const nowMs = clock.nowMs();
  const waitMs = backoffMs(config, x.attempt, random);
  if (nowMs + waitMs >= x.deadlineMs) return refuse(x, events, "deadline");
  if (x.cluster.limits.retries >= x.route.backend.config.limits.maxRetries) return refuse(x, events, "limit");
  if (!x.cluster.retryBudget.tryRepeat(nowMs)) {
    x.flag = "RB";
    return refuse(x, events, "budget");
  }
  events.retryPlanned?.(x, failure.reason);
  return waitMs;
}

function refuse(x: Exchange, events: Events, why: Refusal): null {
  events.retryRefused?.(x, why);
  return null;
}

/** What was never sent may go again whatever it is; what may have been processed only if that does no harm. */
function isSafe(x: Exchange, sent: Sent): boolean {
  return (sent === "nothing" || isIdempotent(x.head.method)) && isReplayable(x.request, sent);
}

/** The books of the attempt are closed and its connection is free before anybody waits. */
function giveUpAttempt(x: Exchange, response: Response | null): void {
  if (x.endpoint !== null) (x.tried ??= []).push(x.endpoint);
  if (response !== null) discard(response);
  x.interrupt = null;
  x.respondedAtMs = 0;
  x.endAttempt();
}

/** An unread body would keep its connection from everybody else. */
function discard(response: Response): void {
  const { source } = response as Partial<WireResponse>;
  if (source !== undefined) source.cancel(discarded);
  else response.body?.cancel().catch(() => {});
}

const discarded: MeshError = new MeshError("ERR_UPSTREAM_RESET", "The response was discarded for another attempt");

/** Frees the place of a repeat among those in flight. */
const repeatEnded: Finisher = {
  finished(x: Exchange): void {
    x.cluster!.limits.retries--;
  },
};

/** Ends early when the exchange is aborted. */
function pause(x: Exchange, waitMs: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      if (x.interrupt === done) x.interrupt = null;
      resolve();
    };
    const timer = clock.after(waitMs, done);
    x.interrupt = done;
  });
}

function headerOf(response: Response, name: string): string | null {
  const wire = response as Partial<WireResponse>;
  return wire.header === undefined ? response.headers.get(name) : wire.header(name);
}
