/** `fetchmesh version` */
import { readFileSync } from "node:fs";
import { runtimeName } from "./runtime-name.ts";
import type { Invocation } from "./verbs.ts";

export async function version({ output }: Invocation): Promise<number> {
  const value = { version: packageVersion(), runtime: runtimeName() };
  await output.result(value, () => `fetchmesh ${value.version} (${value.runtime})`);
  return 0;
}

/** From the package.json above this file: two folders up in a checkout, three in the published package. */
function packageVersion(): string {
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      const found = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as {
        name?: string;
        version?: string;
      };
      if (found.name === "fetchmesh" && found.version !== undefined) return found.version;
    } catch {
      // Not in this layout; the next one.
    }
  }
  return "unknown";
}
