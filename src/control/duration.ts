/** Durations as Gateway API writes them ("1h30m", "250ms"): no decimals, no days, no sign. */

const grammar = /^(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}$/;
const part = /([0-9]{1,5})(ms|h|m|s)/g;
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/**
 * Milliseconds of a Gateway API duration; `null` if it is not one.
 *
 * @see https://gateway-api.sigs.k8s.io/geps/gep-2257/
 */
export function parseDuration(text: string): number | null {
  if (!grammar.test(text)) return null;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(part)) totalMs += Number(amount) * (unitMs[unit!] ?? 0);
  return totalMs;
}

/** The same of a text that validation has accepted. @throws {RangeError} if it has not */
export function durationMs(text: string): number {
  const value = parseDuration(text);
  if (value === null) throw new RangeError(`"${text}" is not a duration`);
  return value;
}
