/** Medians and minima of the rounds that count, and ratios within a round. */
import type { Sample } from "./rounds.ts";

export interface Summary {
  readonly system: string;
  /** Rounds without a failure, of all. */
  readonly rounds: number;
  readonly ofRounds: number;
  readonly cpuUs: number;
  readonly cpuUsMin: number;
  readonly requestsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Median over rounds of our CPU per request by the reference's in the same round; null without a reference. */
  readonly cpuRatio: number | null;
  /** The same by the runtime's own bytes-only chain. */
  readonly floorRatio: number | null;
  readonly p50Ratio: number | null;
  readonly p99Ratio: number | null;
}

export function summarize(samples: readonly Sample[], systems: readonly string[], reference: string): Summary[] {
  const counting = samples.filter(({ failures }) => failures === 0);
  const roundsOf = (id: string): ReadonlyMap<number, Sample> =>
    new Map(counting.filter(({ system }) => system === id).map((one) => [one.round, one]));
  const referenceRounds = roundsOf(reference);
  return systems.map((system) => {
    const own = counting.filter((one) => one.system === system);
    const of = (pick: (sample: Sample) => number): number => median(own.map(pick));
    const ratio = (pick: (sample: Sample) => number, others = referenceRounds): number | null => {
      const ratios = own.flatMap((one) => {
        const other = others.get(one.round);
        return other === undefined || pick(other) === 0 ? [] : [pick(one) / pick(other)];
      });
      return ratios.length === 0 ? null : median(ratios);
    };
    return {
      system,
      rounds: own.length,
      ofRounds: samples.filter((one) => one.system === system).length,
      cpuUs: of((one) => one.cpuUs),
      cpuUsMin: Math.min(...own.map((one) => one.cpuUs)),
      requestsPerSecond: of((one) => one.requests / one.seconds),
      p50Us: of((one) => one.p50Us),
      p99Us: of((one) => one.p99Us),
      cpuRatio: ratio((one) => one.cpuUs),
      floorRatio: ratio((one) => one.cpuUs, roundsOf(`${system}-bytes`)),
      p50Ratio: ratio((one) => one.p50Us),
      p99Ratio: ratio((one) => one.p99Us),
    };
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
