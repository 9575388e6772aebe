/** "bun 1.4.5", "deno 2.9.6", "node 26.10.0": as it appears in ready lines and in the registry. */
import process from "node:process";

export function runtimeName(): string {
  for (const name of ["bun", "deno", "node"] as const) {
    const version = process.versions[name];
    if (version !== undefined) return `${name} ${version}`;
  }
  return "unknown";
}
