import type { Bench } from "./_bench.ts";

/** Declares one case, run against a listener of its own that is closed whatever happens. */
export type Rule = (title: string, body: (bench: Bench) => Promise<void>, skip?: string) => void;

export const MEGABYTE = 1_000_000;
