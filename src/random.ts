/** Randomness as policies see it: a number in [0, 1). Injected so that a fleet can be replayed from a seed. */
export type Random = () => number;

/** The platform's randomness, for everything that is not security relevant. */
export const systemRandom: Random = Math.random;

/**
 * A deterministic source (mulberry32): the same seed gives the same sequence on every runtime.
 *
 * @see https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** `bytes` of cryptographic randomness as lower-case hex. */
export function randomHex(bytes: number): string {
  const buffer = crypto.getRandomValues(new Uint8Array(bytes));
  let text = "";
  for (const byte of buffer) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}
