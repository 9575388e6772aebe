/** Short rounds in turn, so that whatever else the machine does meets every system alike. */
import { cpuMicroseconds } from "./processes.ts";
import type { LoadResult } from "./load.ts";
import type { System } from "./system.ts";

export interface Sample extends LoadResult {
  readonly system: string;
  readonly round: number;
  /** Of the sidecars, user and system, per request. */
  readonly cpuUs: number;
}

export interface RoundsOptions {
  readonly rounds: number;
  readonly run: (system: System) => Promise<LoadResult>;
  readonly tell: (sample: Sample) => void;
}

export async function runRounds(systems: readonly System[], options: RoundsOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round++) {
    // Everybody follows everybody else in turn.
    for (let n = 0; n < systems.length; n++) {
      const system = systems[(n + round) % systems.length]!;
      const before = cpuMicroseconds(system.pids);
      const result = await options.run(system);
      const cpuUs = (cpuMicroseconds(system.pids) - before) / result.requests;
      const sample = { ...result, system: system.id, round, cpuUs };
      samples.push(sample);
      options.tell(sample);
    }
  }
  return samples;
}
