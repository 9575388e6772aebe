/** The runtimes that a test file can run on, and the command line that runs one file with a JUnit report. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export type RuntimeName = "bun" | "deno" | "node" | "workerd";

export interface Runtime {
  readonly name: RuntimeName;
  readonly version: string;
  /** Arguments (program first) that run `file` and leave a JUnit report at `report`. */
  command(file: string, report: string, timeoutMs: number): readonly string[];
}

export const root: string = join(import.meta.dirname ?? "", "..", "..");

/** What is installed here, in the order of the table. `wanted` empty means all. */
export function findRuntimes(wanted: readonly string[]): Runtime[] {
  const found: Runtime[] = [];
  for (const name of ["bun", "deno", "node", "workerd"] as const) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const program = findProgram(name);
    // The workerd suite is ordinary tests that spawn workerd, so it needs a host beside workerd itself.
    const host = name === "workerd" ? findProgram("node") : program;
    if (program === undefined || host === undefined) continue;
    found.push({ name, version: versionOf(program), command: commandOf(name, host) });
  }
  return found;
}

/** `scripts/setup` puts proven binaries into .cache/bin; the rest is for machines that have only one runtime. */
function findProgram(name: RuntimeName): string | undefined {
  const folders = [
    join(root, ".cache/bin"),
    join(root, "node_modules/.bin"),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ];
  const programs = folders.map((folder) => join(folder, name)).filter((path) => existsSync(path));
  return programs.find((program) => name !== "node" || loadsTypeScript(program));
}

/** Node loads .ts files since 22.18. */
function loadsTypeScript(node: string): boolean {
  const [major = 0, minor = 0] = versionOf(node).split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 18);
}

/** Empty for a program that does not say: `bun run` puts a "node" into PATH that is Bun. */
function versionOf(program: string): string {
  const env = { ...process.env, NO_COLOR: "1" };
  const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8", env });
  return /\d[\w.-]*/.exec(stdout ?? "")?.[0] ?? "";
}

function commandOf(name: RuntimeName, program: string): Runtime["command"] {
  if (name === "bun") {
    // Bun alone has a limit per test (5 s); the runner's limit per file stands in for it, as on the others.
    return (file, report, timeoutMs) => [
      program,
      "test",
      `--timeout=${timeoutMs}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      `./${file}`,
    ];
  }
  if (name === "deno") {
    return (file, report) => [program, "test", "-A", "--no-check", `--junit-path=${report}`, `./${file}`];
  }
  // "spec" beside the report: it is written as the tests go, so it shows how far a file came that hung.
  const spec = ["--test-reporter=spec", "--test-reporter-destination=stdout"];
  const flags = ["--test", "--test-isolation=none", "--test-force-exit", ...spec, "--test-reporter=junit"];
  return (file, report) => [program, ...flags, `--test-reporter-destination=${report}`, `./${file}`];
}
