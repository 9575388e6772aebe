/** 4 how carefully: one endpoint's breaker, as a pure state machine. */
import type { BreakerSource } from "../observe/events.ts";

/** Impossible combinations cannot be written: only an open breaker has a time to reopen, only a half-open one a probe. */
export type BreakerState = {
  current:
    | { readonly kind: "closed" }
    | { readonly kind: "open"; readonly untilMs: number; readonly source: BreakerSource }
    | { readonly kind: "half-open"; probing: boolean; readonly source: BreakerSource };
};
