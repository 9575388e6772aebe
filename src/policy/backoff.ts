/** How long to wait before the next attempt. */
import type { Random } from "../random.ts";
import type { RetryConfig } from "../route/route.ts";

/**
 * Full jitter: between 0 and (2^n − 1) × base, at most the cap, on top of a configured least wait. Spreading over the whole
 * range is what keeps callers that failed together from coming back together.
 *
 * @param repeat 1 for the first repeat
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ and Envoy's `retry_back_off`
 */
export function backoffMs(config: RetryConfig, repeat: number, random: Random): number {
  const span = Math.min(config.backoffMaxMs, (2 ** repeat - 1) * config.backoffBaseMs);
  return (config.backoffMinMs ?? 0) + random() * span;
}
