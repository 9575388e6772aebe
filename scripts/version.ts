/** `version.ts X.Y.Z` sets the version everywhere it is written, so that npm and JSR publish the same. */

import { readFileSync, writeFileSync } from "node:fs";

const version = process.argv[2] ?? "";
if (!/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version)) {
  console.error(`Usage: scripts/version.ts X.Y.Z: current value is "${version}"`);
  process.exit(2);
}

const field = /("version": )"[^"]*"/;
for (const file of ["package.json", "deno.json"]) rewrite(file, (text) => text.replace(field, `$1"${version}"`));
// In the lock it stands twice before the first package: for the lock itself and for the root.
rewrite("package-lock.json", (text) =>
  text
    .replace(field, `$1"${version}"`)
    .replace(new RegExp(`(${field.source}[^]*?)${field.source}`), `$1$3"${version}"`),
);
console.log(`package.json, deno.json, package-lock.json: ${version}. Now write CHANGELOG.md.`);

function rewrite(file: string, change: (text: string) => string): void {
  writeFileSync(file, change(readFileSync(file, "utf8")));
}
