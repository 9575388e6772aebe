/** Which runtime this is: asked here, once, and nowhere else. */
import process from "node:process";
import { bunRuntime } from "./bun.ts";
import { denoRuntime } from "./deno.ts";
import { nodeRuntime } from "./node.ts";
import { nodeFiles } from "./node-files.ts";
import { nodeProcess } from "./node-process.ts";
import type { Runtime, RuntimeName, RuntimeParts } from "./runtime.ts";
import { isOlder } from "./version.ts";

const parts: Readonly<Record<RuntimeName, (version: string) => RuntimeParts>> = {
  bun: bunRuntime,
  deno: denoRuntime,
  node: nodeRuntime,
};

let found: Runtime | null = null;

/** The runtime this process runs on; the same object every time. */
export function currentRuntime(): Runtime {
  return (found ??= detect());
}

function detect(): Runtime {
  // All three fill `process.versions` with their own name; Bun and Deno also claim to be Node.
  const { versions } = process;
  const name: RuntimeName = versions["bun"] !== undefined ? "bun" : versions["deno"] !== undefined ? "deno" : "node";
  const version = versions[name] ?? "0.0.0";
  const own = parts[name](version);
  return {
    ...own,
    name,
    version,
    label: `${name} ${version}`,
    concern: isOlder(version, own.minimumVersion)
      ? `${name} ${version} has known holes: use ${own.minimumVersion} or newer`
      : null,
    files: nodeFiles,
    process: nodeProcess(own.writeError),
  };
}
