/**
 * Checks who may import what: the map in ARCHITECTURE.md stays true because this fails when it is not.
 * A script, and not the linter, as the linter's import rules cannot be combined for one file without repeating them all.
 */

import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

interface Import {
  readonly file: string;
  readonly line: number;
  /** Path from the root for our own files, else the package or built-in as written. */
  readonly target: string;
  readonly isType: boolean;
}

interface Restriction {
  readonly target: RegExp;
  /** The only files that may. */
  readonly allowed: RegExp;
  readonly why: string;
}

const restrictions: readonly Restriction[] = [
  { target: /^(?:node:|bun(?::|$))/, allowed: /^src\/(?:runtime|cli)\//, why: "the rest must run in a worker too" },
  { target: /^ioredis/, allowed: /^src\/control\/redis-store\.ts$/, why: "only the Redis store knows Redis" },
  {
    target: /^@peculiar\/x509/,
    allowed: /^src\/identity\/issuance\.ts$/,
    why: "0.3 s and 59 KB to load",
  },
  {
    target: /^@peculiar\/webcrypto/,
    allowed: /^src\/(?:identity|runtime)\/webcrypto\.ts$/,
    why: "one guarded fallback",
  },
  {
    target: /^jose/,
    allowed: /^src\/(?:identity\/token|control\/signature)\.ts$/,
    why: "signatures are made in two places",
  },
  {
    target: /^hono/,
    allowed: /^src\/(?:control\/api|observe\/admin)[\w-]*\.ts$/,
    why: "the data path has no framework",
  },
  { target: /^src\/cli\//, allowed: /^src\/cli\//, why: "the command line is nobody's library" },
];

const journey = ["listener", "identity", "route", "policy", "balance", "transport"];

const imports = [...globSync("src/**/*.ts"), "mod.ts"].filter((file) => existsSync(file)).flatMap(importsOf);
const problems = [...imports.flatMap(restricted), ...imports.flatMap(acrossStations), ...outsideOfWorkers()];
for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);

function importsOf(file: string): Import[] {
  // Comments go first, keeping their line breaks: an example in one is not an import.
  const text = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, (comment) =>
    comment.replace(/[^\n]/g, ""),
  );
  const pattern =
    /^\s*(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
  return [...text.matchAll(pattern)].map((match) => {
    const specifier = match[2] ?? match[3] ?? "";
    const target = specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : specifier;
    const line = text.slice(0, match.index + match[0].length).split("\n").length;
    return { file, line, target, isType: match[1] !== undefined };
  });
}

function restricted(one: Import): string[] {
  return restrictions
    .filter(({ target, allowed }) => target.test(one.target) && !allowed.test(one.file))
    .map(({ why }) => `${one.file}:${one.line}: may not import ${one.target}: ${why}`);
}

/** Stations of the journey know each other by type only; src/outbound.ts and src/inbound.ts put them together. */
function acrossStations(one: Import): string[] {
  const [from, to] = [one.file, one.target].map((path) =>
    journey.find((station) => path.startsWith(`src/${station}/`)),
  );
  if (one.isType || from === undefined || to === undefined || from === to) return [];
  return [`${one.file}:${one.line}: station ${from} may import ${one.target} only as a type`];
}

/** What mod.ts loads, however indirectly, has to run in a worker. Imports inside functions count: bundlers follow them. */
function outsideOfWorkers(): string[] {
  const seen = new Map<string, string>([["mod.ts", "mod.ts"]]);
  const found: string[] = [];
  for (const [file, path] of seen) {
    for (const { file: from, target, isType } of imports) {
      if (from !== file || isType) continue;
      if (/^(?:node:|bun(?::|$)|ioredis)/.test(target)) found.push(`mod.ts must run in a worker: ${path} > ${target}`);
      if (target.endsWith(".ts") && !seen.has(target)) seen.set(target, `${path} > ${target}`);
    }
  }
  return found;
}
