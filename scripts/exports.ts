/** Checks that package.json, deno.json and the files on disk tell the same story about what can be imported. */

import { existsSync, readFileSync } from "node:fs";

interface Manifest {
  readonly version: string;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
}

const [npm, jsr] = ["package.json", "deno.json"].map(read) as [Manifest, Manifest];
const problems: string[] = [];

if (npm.version !== jsr.version)
  problems.push(`version: package.json has ${npm.version}, deno.json has ${jsr.version}`);

// package.json names itself for tools that read it; JSR has no such thing.
const names = new Set(
  [...Object.keys(npm.exports), ...Object.keys(jsr.exports)].filter((name) => name !== "./package.json"),
);
for (const name of names) {
  const source = jsr.exports[name];
  const built = npm.exports[name];
  if (typeof source !== "string") problems.push(`"${name}" is missing from deno.json`);
  else if (typeof built !== "object")
    problems.push(`"${name}" is missing from package.json, or is not { types, default }`);
  else {
    if (!existsSync(source)) problems.push(`"${name}": ${source} does not exist`);
    const stem = source.replace("./", "./dist/").replace(/\.ts$/, "");
    if (built.types !== `${stem}.d.ts`)
      problems.push(`"${name}": types should be ${stem}.d.ts: current value is ${built.types}`);
    if (built.default !== `${stem}.js`)
      problems.push(`"${name}": default should be ${stem}.js: current value is ${built.default}`);
  }
}

for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);

function read(file: string): Manifest {
  return JSON.parse(readFileSync(file, "utf8"));
}
