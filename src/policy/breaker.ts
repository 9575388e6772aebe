/** 4 how carefully: one endpoint's breaker, as a pure state machine. Time and chance are arguments; nothing is scheduled. */
import type { BreakerPosition, BreakerSource } from "../observe/events.ts";
import type { Random } from "../random.ts";
import { SlidingWindow } from "./window.ts";

export interface BreakerConfig {
  /** Failures in a row, none older than the window, that open it. @default 5 */
  readonly consecutiveFailures: number;
  /** Or this share of failures over the window, 0..1. @default 0.5 */
  readonly failureRatio: number;
  /** Fewer answers in the window say nothing about a ratio. @default 20 */
  readonly minRequests: number;
  /** @default 10000 */
  readonly windowMs: number;
  /** First opening; the n-th in a row lasts n times as long. @default 30000 */
  readonly openMs: number;
  /** @default 300000 */
  readonly maxOpenMs: number;
  /** Share of a pool that may be out at once; one endpoint always stays. @default 0.5 */
  readonly maxEjectedRatio: number;
  /** Tell and believe other callers (the fleet breaker). @default true */
  readonly isShared: boolean;
  /** Share of the callers that must agree, two at least. @default 0.1 */
  readonly quorum: number;
}

/** Only an open breaker has a time to reopen, only a half-open one a probe. */
export type BreakerPhase =
  | { readonly kind: "closed" }
  | { readonly kind: "open"; readonly untilMs: number; readonly source: BreakerSource }
  | { readonly kind: "half-open"; probing: boolean; readonly source: BreakerSource };

export interface BreakerState {
  current: BreakerPhase;
  /** Who decided the present position; "forced" also while an operator holds it closed. */
  source: BreakerSource;
  /** Changes with every transition: what an attempt from before it reports is news from another time, and ignored. */
  generation: number;
  consecutiveFailures: number;
  lastFailureMs: number;
  /** Successes first, failures second. Made at the first answer: most endpoints of a large mesh are never called. */
  window: SlidingWindow | null;
  /** Openings in a row: the factor of the next opening's length. */
  openings: number;
  /** Since when it is in the present phase. */
  sinceMs: number;
  /** An operator holds it closed until then; 0: nobody does. */
  pinnedUntilMs: number;
}

export interface BreakerChange {
  readonly from: BreakerPosition;
  readonly to: BreakerPosition;
  readonly source: BreakerSource;
}

const closed: BreakerPhase = Object.freeze({ kind: "closed" });

export function createBreaker(): BreakerState {
  return {
    current: closed,
    source: "local",
    generation: 0,
    consecutiveFailures: 0,
    lastFailureMs: -Infinity,
    window: null,
    openings: 0,
    sinceMs: 0,
    pinnedUntilMs: 0,
  };
}

/** An answer of an attempt that was admitted in the present generation. */
export function succeeded(state: BreakerState, config: BreakerConfig, nowMs: number): BreakerChange | null {
  state.consecutiveFailures = 0;
  switch (state.current.kind) {
    case "closed":
      windowOf(state, config).addFirst(nowMs);
      return null;
    case "half-open":
      return close(state, nowMs, "local");
    case "open":
      // Served although open, because the pool may not lose more: it has just proved itself. A forced one proves nothing.
      return state.current.source === "forced" ? null : close(state, nowMs, "local");
  }
}

/** The opposite of `succeeded`; opens when the evidence suffices. */
export function failed(
  state: BreakerState,
  config: BreakerConfig,
  nowMs: number,
  random: Random,
): BreakerChange | null {
  switch (state.current.kind) {
    case "open":
      return null;
    case "half-open":
      return openLocally(state, config, nowMs, random);
    case "closed": {
      const isInARow = nowMs - state.lastFailureMs <= config.windowMs;
      state.consecutiveFailures = isInARow ? state.consecutiveFailures + 1 : 1;
      state.lastFailureMs = nowMs;
      const window = windowOf(state, config);
      window.addSecond(nowMs);
      const total = window.first + window.second;
      const isTooMany = total >= config.minRequests && window.second >= config.failureRatio * total;
      if (!isTooMany && state.consecutiveFailures < config.consecutiveFailures) return null;
      return isPinned(state, nowMs) ? null : openLocally(state, config, nowMs, random);
    }
  }
}

/** An answer that never came and says nothing: the probe's place is free again. */
export function abandoned(state: BreakerState): void {
  if (state.current.kind === "half-open") state.current.probing = false;
}

/** True for the one request that may find out whether an open endpoint has recovered. */
export function isProbeDue(state: BreakerState, nowMs: number): boolean {
  const { current } = state;
  if (current.kind === "open") return current.untilMs <= nowMs;
  return current.kind === "half-open" && !current.probing;
}

/** Admits that request. Call only after `isProbeDue`. */
export function startProbe(state: BreakerState, nowMs: number): BreakerChange | null {
  const { current } = state;
  if (current.kind === "half-open") {
    current.probing = true;
    return null;
  }
  const source = current.kind === "open" ? current.source : "local";
  return enter(state, { kind: "half-open", probing: true, source }, source, nowMs);
}

/** Other callers' word. Never against an operator, and never over a local opening, which knows better until when. */
export function openByQuorum(state: BreakerState, untilMs: number, nowMs: number): BreakerChange | null {
  if (state.current.kind !== "closed" || isPinned(state, nowMs)) return null;
  return enter(state, { kind: "open", untilMs, source: "quorum" }, "quorum", nowMs);
}

/** The votes changed: a quorum opening lasts as long as they do. A time already past makes the next request a probe. */
export function retimeQuorum(state: BreakerState, untilMs: number): void {
  const { current } = state;
  if (current.kind === "open" && current.source === "quorum")
    state.current = { kind: "open", untilMs, source: "quorum" };
}

export function forceOpen(state: BreakerState, untilMs: number, nowMs: number): BreakerChange | null {
  state.pinnedUntilMs = 0;
  const wasForced = state.current.kind === "open" && state.current.source === "forced";
  const change = enter(state, { kind: "open", untilMs, source: "forced" }, "forced", nowMs);
  return wasForced ? null : change;
}

export function forceClosed(state: BreakerState, untilMs: number, nowMs: number): BreakerChange | null {
  state.pinnedUntilMs = untilMs;
  if (state.current.kind !== "closed") return close(state, nowMs, "forced");
  state.source = "forced";
  return null;
}

/** Back to the beginning: an operator's word was taken back, and so is everything counted until then. */
export function reset(state: BreakerState, nowMs: number): BreakerChange | null {
  state.pinnedUntilMs = 0;
  state.openings = 0;
  const change = state.current.kind === "closed" ? null : close(state, nowMs, "local");
  state.source = "local";
  state.consecutiveFailures = 0;
  state.window?.clear();
  return change;
}

/** Whether an operator holds it closed now; forgets the order once it has expired. */
export function isPinned(state: BreakerState, nowMs: number): boolean {
  if (state.pinnedUntilMs === 0) return false;
  if (nowMs < state.pinnedUntilMs) return true;
  state.pinnedUntilMs = 0;
  if (state.current.kind === "closed") state.source = "local";
  return false;
}

function openLocally(state: BreakerState, config: BreakerConfig, nowMs: number, random: Random): BreakerChange {
  // Time spent in health pays openings back, one per first opening's length (Envoy's rule for the ejection multiplier).
  const forgiven = state.current.kind === "closed" ? Math.floor((nowMs - state.sinceMs) / config.openMs) : 0;
  state.openings = Math.max(0, state.openings - forgiven) + 1;
  const longest = Math.max(config.openMs, config.maxOpenMs);
  // A tenth of jitter: callers that opened together should not probe together.
  const lastsMs = Math.min(longest, config.openMs * state.openings) * (1 + random() * 0.1);
  return enter(state, { kind: "open", untilMs: nowMs + lastsMs, source: "local" }, "local", nowMs);
}

function windowOf(state: BreakerState, { windowMs }: BreakerConfig): SlidingWindow {
  if (state.window === null || state.window.windowMs !== windowMs) state.window = new SlidingWindow(windowMs);
  return state.window;
}

function close(state: BreakerState, nowMs: number, source: BreakerSource): BreakerChange {
  state.consecutiveFailures = 0;
  state.window?.clear();
  return enter(state, closed, source, nowMs);
}

function enter(state: BreakerState, phase: BreakerPhase, source: BreakerSource, nowMs: number): BreakerChange {
  const from = state.current.kind;
  state.current = phase;
  state.source = source;
  state.generation++;
  state.sinceMs = nowMs;
  return { from, to: phase.kind, source };
}
