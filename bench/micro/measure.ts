/** Nanoseconds per call: the minimum of many rounds, as noise only ever adds. */
export function measure(name: string, step: () => unknown, times: number = 20_000, rounds: number = 40): void {
  let bestMs = Infinity;
  let sink: unknown;
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    for (let n = 0; n < times; n++) sink = step();
    bestMs = Math.min(bestMs, performance.now() - startMs);
  }
  // A result that nobody looks at might not be computed.
  if (sink === undefined || sink === null) throw new Error(`${name}: nothing was made`);
  report(name, (bestMs / times) * 1e6);
}

export function report(name: string, nanoseconds: number): void {
  console.log(`${name.padEnd(44)} ${nanoseconds.toFixed(0).padStart(7)} ns/op`);
}
