/** 5 which endpoint: three ways to choose one of those available. */
import type { Random } from "../random.ts";
import type { BalanceAlgorithm } from "../policy/backend-config.ts";
import type { Cluster } from "./cluster.ts";
import type { EndpointState } from "./endpoint.ts";
import type { Choice } from "./pool.ts";

type Picker = (cluster: Cluster, random: Random) => EndpointState;

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
): EndpointState | null {
  const { available } = cluster.choice;
  if (available.length === 0) return null;
  if (available.length === 1) return available[0]!;
  const choose = pickers[algorithm];
  let picked = choose(cluster, random);
  if (tried === null) return picked;
  for (let draws = 1; tried.includes(picked); draws++) {
    if (draws === maxDraws) return available.find((endpoint) => !tried.includes(endpoint)) ?? picked;
    picked = choose(cluster, random);
  }
  return picked;
}

/**
 * Power of two choices: of two drawn by weight, the one with less load times latency, by chance in the ratio of the squared
 * costs. Squared, one of ten times the latency is chosen once in a hundred draws, yet equals share evenly although a laptop's
 * latencies jitter by tens of percent, and whoever lost to one bad peak goes on being measured.
 */
function pickLeastLoaded(cluster: Cluster, random: Random): EndpointState {
  const { choice } = cluster;
  const first = sample(choice, random);
  const second = rival(choice, first, random);
  if (second === first) return first;
  const [costOfFirst, costOfSecond] = costs(first, second);
  const weightOfFirst = costOfSecond * costOfSecond;
  return random() * (weightOfFirst + costOfFirst * costOfFirst) < weightOfFirst ? first : second;
}

/** Who was never measured counts as fast as the other: a newcomer neither starves nor is stampeded. */
function costs(first: EndpointState, second: EndpointState): readonly [number, number] {
  const a = first.latencyEwmaMs;
  const b = second.latencyEwmaMs;
  return [(first.inFlight + 1) * (a || b || 1), (second.inFlight + 1) * (b || a || 1)];
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
