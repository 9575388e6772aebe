/** 5 which endpoint: three ways to choose one of those available. */
import type { Random } from "../random.ts";
import type { BalanceAlgorithm } from "../policy/backend-config.ts";
import type { Cluster } from "./cluster.ts";
import type { EndpointState } from "./endpoint.ts";
import { latencyAt } from "./ewma.ts";
import type { Choice } from "./pool.ts";

type Picker = (cluster: Cluster, random: Random, nowMs: number) => EndpointState;

const pickers: Readonly<Record<BalanceAlgorithm, Picker>> = {
  "least-request": pickLeastLoaded,
  "round-robin": pickInTurn,
  random: (cluster, random) => sample(cluster.choice, random),
};

/** Envoy's host selection attempts: after so many draws of a tried endpoint, look at all of them. */
const maxDraws = 5;

/** One of the available endpoints, not one of `tried` unless all were; `null` if none is available. */
export function pick(
  cluster: Cluster,
  algorithm: BalanceAlgorithm,
  tried: readonly EndpointState[] | null,
  random: Random,
  nowMs: number,
): EndpointState | null {
  const { available } = cluster.choice;
  if (available.length === 0) return null;
  if (available.length === 1) return available[0]!;
  const choose = pickers[algorithm];
  let picked = choose(cluster, random, nowMs);
  if (tried === null) return picked;
  for (let draws = 1; tried.includes(picked); draws++) {
    if (draws === maxDraws) return available.find((endpoint) => !tried.includes(endpoint)) ?? picked;
    picked = choose(cluster, random, nowMs);
  }
  return picked;
}

/**
 * Power of two choices: of two drawn by weight, one by chance in the inverse ratio of their costs, load squared times latency.
 * Load is exact, so it counts firmly; latency jitters by tens of percent on any laptop and leaps when a runtime collects its
 * garbage, so it counts gently: equals share evenly, and one of ten times the latency gets a tenth.
 */
function pickLeastLoaded(cluster: Cluster, random: Random, nowMs: number): EndpointState {
  const { choice } = cluster;
  const first = sample(choice, random);
  const second = rival(choice, first, random);
  if (second === first) return first;
  const costOfFirst = (first.inFlight + 1) ** 2 * latencyRatio(first, second, nowMs);
  const costOfSecond = (second.inFlight + 1) ** 2;
  return random() * (costOfFirst + costOfSecond) < costOfSecond ? first : second;
}

/** One peak may cost an endpoint most of its traffic, never all: who is not asked any more cannot show that it was one peak. */
const maxLatencyRatio = 50;

/** Who was never measured counts as fast as the other: a newcomer neither starves nor is stampeded. */
function latencyRatio(first: EndpointState, second: EndpointState, nowMs: number): number {
  const a = latencyAt(first, nowMs);
  const b = latencyAt(second, nowMs);
  if (a === 0 || b === 0) return 1;
  return Math.min(maxLatencyRatio, Math.max(1 / maxLatencyRatio, a / b));
}

function pickInTurn(cluster: Cluster): EndpointState {
  const { available, cumulativeWeights } = cluster.choice;
  if (cumulativeWeights === null) return available[cluster.cursor++ % available.length]!;
  // Golden-ratio steps through the weights: exact shares in the long run, and a heavy endpoint is not served in a burst.
  const at = ((cluster.cursor++ * 0.618_033_988_749_894_9) % 1) * cumulativeWeights.at(-1)!;
  return available[indexOf(cumulativeWeights, at)]!;
}

function sample({ available, cumulativeWeights }: Choice, random: Random): EndpointState {
  if (cumulativeWeights === null) return available[Math.floor(random() * available.length)]!;
  return available[indexOf(cumulativeWeights, random() * cumulativeWeights.at(-1)!)]!;
}

/**
 * Somebody else if all weigh the same. Otherwise a second independent draw, which may be the first again: only that keeps
 * the shares equal to the weights when all cost the same.
 */
function rival(choice: Choice, first: EndpointState, random: Random): EndpointState {
  const { available, cumulativeWeights } = choice;
  if (cumulativeWeights !== null) return sample(choice, random);
  const drawn = available[Math.floor(random() * (available.length - 1))]!;
  return drawn === first ? available.at(-1)! : drawn;
}

/** The first running total above `at`. */
function indexOf(cumulativeWeights: readonly number[], at: number): number {
  let low = 0;
  let high = cumulativeWeights.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulativeWeights[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}
