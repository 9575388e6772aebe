/** How slow an endpoint is, remembered as Finagle and Linkerd do: peaks count at once, good news sinks in over time. */
import type { EndpointState } from "./endpoint.ts";

/** Linkerd's default decay. */
const decayMs = 10_000;

/** Time from dispatch to response head of an attempt that was answered. */
export function observeLatency(endpoint: EndpointState, latencyMs: number, nowMs: number): void {
  const average = endpoint.latencyEwmaMs;
  if (latencyMs >= average) endpoint.latencyEwmaMs = latencyMs;
  else {
    const kept = Math.exp(-(nowMs - endpoint.latencyAtMs) / decayMs);
    endpoint.latencyEwmaMs = average * kept + latencyMs * (1 - kept);
  }
  endpoint.latencyAtMs = nowMs;
}

/** A failure is no proof of speed: a refused connection is fast. It can only make an endpoint look slower. */
export function observeFailure(endpoint: EndpointState, latencyMs: number, nowMs: number): void {
  if (latencyMs > endpoint.latencyEwmaMs) observeLatency(endpoint, latencyMs, nowMs);
}

/** The average as it counts now: it fades while nobody measures, or a peak would keep an endpoint from ever being measured. */
export function latencyAt(endpoint: EndpointState, nowMs: number): number {
  const ageMs = nowMs - endpoint.latencyAtMs;
  return ageMs <= 0 ? endpoint.latencyEwmaMs : endpoint.latencyEwmaMs * Math.exp(-ageMs / decayMs);
}
