/** The arguments of `scripts/bench`. */
import { parseArgs } from "node:util";

export interface BenchOptions {
  readonly quick: boolean;
  readonly jsonFile: string | undefined;
  readonly store: string | undefined;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpRequests: number;
  readonly connections: number;
  /** Ids of systems; undefined is all of them. */
  readonly only: readonly string[] | undefined;
  readonly cases: readonly string[];
  /** Write `bench/RESULTS.md`. */
  readonly record: boolean;
  /** As typed, for the record. */
  readonly command: string;
}

export const usage = `Usage: scripts/bench [--quick] [--json FILE] [--rounds N] [--seconds N] [--only ID,ID] [--cases ID,ID] [--store URL]

--quick    3 rounds of 2 s, and bench/RESULTS.md stays as it is (default: 8 rounds of 3 s)
--json     also write every sample to FILE
--only     direct,nginx,bun,deno,node,bun-bytes,deno-bytes,node-bytes
--cases    get,post,rate (a full run takes about ten minutes)
--store    where the sidecars take their config from (default: file:, in a temporary folder)`;

export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string" },
      cases: { type: "string" },
      store: { type: "string" },
    },
  });
  const { quick } = values;
  return {
    quick,
    jsonFile: values.json,
    store: values.store,
    rounds: number("--rounds", values.rounds ?? (quick ? "3" : "8")),
    seconds: number("--seconds", values.seconds ?? (quick ? "2" : "3")),
    warmUpRequests: quick ? 30_000 : 120_000,
    connections: 32,
    only: values.only?.split(","),
    cases: (values.cases ?? "get,post,rate").split(","),
    // A run of other systems or cases would replace a whole one.
    record: !quick && values.only === undefined && values.cases === undefined,
    command: ["./scripts/bench", ...args.filter((arg, n) => arg !== "--json" && args[n - 1] !== "--json")].join(" "),
  };
}

function number(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new RangeError(`${flag} must be a positive integer: current value is "${text}"`);
}
