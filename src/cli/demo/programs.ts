/** What the demo starts: the launcher, the runtimes found on this machine, the example services. */
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { MeshError } from "../../errors.ts";

export type RuntimeName = "bun" | "deno" | "node";

export const runtimeNames: readonly RuntimeName[] = ["bun", "deno", "node"];

/** The root of the checkout or of the installed package: the folder above this file that has the launcher. */
export const packageRoot: string = findRoot();

export const launcher: string = join(packageRoot, "bin/fetchmesh");

export const examples: string = join(packageRoot, "examples/three-services");

/** Looks where the launcher looks, then on the PATH. */
export function findProgram(name: string): string | null {
  const folders = [
    join(packageRoot, ".cache/bin"),
    join(packageRoot, "node_modules/.bin"),
    join(packageRoot, "../.bin"),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ];
  for (const folder of folders) {
    const path = join(folder, name);
    if (folder !== "" && isExecutable(path)) return path;
  }
  return null;
}

/** The runtimes of this machine that can run sidecars. */
export function availableRuntimes(): readonly RuntimeName[] {
  return runtimeNames.filter((name) => findProgram(name) !== null);
}

/** A script as a command of the first runtime that is there. */
export function scriptCommand(script: string, preference: readonly RuntimeName[]): readonly string[] {
  for (const name of preference) {
    const program = findProgram(name);
    if (program === null) continue;
    // net and env: to listen, to call, to read PORT; sys and read: what npm packages look at when they load.
    const flags =
      name === "deno" ? ["run", "--no-prompt", "--allow-net", "--allow-env", "--allow-read", "--allow-sys"] : [];
    return [program, ...flags, script];
  }
  throw new MeshError(
    "ERR_OPTION_INVALID",
    `Nothing here can run ${script}: none of ${preference.join(", ")} is installed`,
  );
}

function findRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, "bin/fetchmesh"))) return folder;
  }
  throw new MeshError("ERR_INTERNAL", "The launcher bin/fetchmesh is not above this file");
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
