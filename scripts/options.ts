/**
 * Checks that each `@default` in the documentation of `XOptions` is what `xDefaults`, the frozen object beside it, holds.
 * A default in words ("no limit") says that there is no value, and is checked for just that.
 */

import { globSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const problems: string[] = [];
for (const file of globSync("src/**/*.ts")) {
  const text = readFileSync(file, "utf8");
  for (const [, name = ""] of text.matchAll(/^export const (\w+)Defaults\b/gm)) {
    const module: Record<string, unknown> = await import(pathToFileURL(file).href);
    const documented = documentedDefaults(text, `${name.charAt(0).toUpperCase()}${name.slice(1)}Options`);
    compare(file, documented, module[`${name}Defaults`] as Record<string, unknown>);
  }
}
for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);

/** Property → what its `@default` says, for one interface. */
function documentedDefaults(text: string, name: string): Map<string, string> {
  const body = new RegExp(`^export interface ${name}\\b[^{]*{([^]*?)^}`, "m").exec(text)?.[1] ?? "";
  const properties = body.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s*(?:readonly\s+)?(\w+)\??:/g);
  const found = new Map<string, string>();
  for (const [, comment = "", property = ""] of properties) {
    const value = /@default\s+(.+?)\s*(?:\*|$)/m.exec(comment)?.[1];
    if (value !== undefined) found.set(property, value.replaceAll("`", ""));
  }
  return found;
}

function compare(
  file: string,
  documented: ReadonlyMap<string, string>,
  defaults: Readonly<Record<string, unknown>>,
): void {
  for (const [property, text] of documented) {
    const actual = JSON.stringify(defaults[property]) ?? "undefined";
    const value = parse(text);
    const agrees = value === undefined ? ["undefined", "null"].includes(actual) : JSON.stringify(value) === actual;
    if (!agrees) problems.push(`${file}: "${property}" is documented as ${text}: current value is ${actual}`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll(/(?<=\d)_(?=\d)/g, ""));
  } catch {
    return undefined;
  }
}
