/**
 * Runs tests/**\/*.test.ts on every runtime: `test.ts [PATTERN]`, PATTERN being a part of a path. Called by scripts/test.
 *
 * - FETCHMESH_TEST_RUNTIMES=bun,node   only these
 * - FETCHMESH_TEST_TIMEOUT_MS=120000   limit per file
 */

import { globSync, mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type FileResult, killRunning, runFile } from "./testing/run-file.ts";
import { findRuntimes, root, type Runtime } from "./testing/runtimes.ts";
import { printFailures, printFile, printTable, printTotals } from "./testing/report.ts";

interface Job {
  readonly file: string;
  readonly runtimes: readonly Runtime[];
  readonly timeoutMs: number;
}

/** These start real meshes: side by side they would measure each other, and not the mesh. */
const alone = /\/(?:mesh|attack|cli)\//;

const limitMs = Number(process.env["FETCHMESH_TEST_TIMEOUT_MS"] ?? 120_000);
/** CI gives up after 25 minutes, and then nobody learns which files hung. */
const suiteEndsMs = performance.now() + 22 * 60_000;
const wanted = (process.env["FETCHMESH_TEST_RUNTIMES"] ?? "").split(",").filter((name) => name !== "");
const pattern = process.argv[2] ?? "";

const runtimes = findRuntimes(wanted);
const missing = wanted.filter((name) => !runtimes.some((runtime) => runtime.name === name));
const files = globSync("tests/**/*.test.ts", { cwd: root })
  .filter((file) => file.includes(pattern))
  .sort();
const jobs = files.map(toJob).filter((job) => job.runtimes.length > 0);
if (missing.length > 0 || jobs.length === 0) {
  console.error(missing.length > 0 ? `not installed: ${missing.join(", ")}` : `no test file matches "${pattern}"`);
  printTotals([]);
  process.exit(1);
}

// A folder per run: several may be under way in one checkout.
const reports = join(root, ".cache/tests", String(process.pid));
mkdirSync(reports, { recursive: true });
process.on("exit", () => rmSync(reports, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    killRunning();
    process.exit(130);
  });
}

const results: FileResult[] = [];
await runAll(
  jobs.filter(({ file }) => !alone.test(file)),
  availableParallelism(),
);
await runAll(
  jobs.filter(({ file }) => alone.test(file)),
  1,
);

printFailures(results);
const everyRuntimeRan = printTable(results);
const failed = printTotals(results);
process.exit(failed > 0 || !everyRuntimeRan ? 1 : 0);

/** Tests in tests/edge drive workerd themselves; all others run where they are. */
function toJob(file: string): Job {
  const isEdge = file.startsWith("tests/edge/");
  // Real processes and certificates that expire take their time.
  return {
    file,
    runtimes: runtimes.filter(({ name }) => (name === "workerd") === isEdge),
    timeoutMs: alone.test(file) ? 2 * limitMs : limitMs,
  };
}

/** Keeps `lanes` processes busy; a file's runtimes follow each other, so that its line can be printed early. */
async function runAll(queue: readonly Job[], lanes: number): Promise<void> {
  const steps = queue.flatMap((job) => job.runtimes.map((runtime) => ({ job, runtime })));
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let step = steps[next++]; step !== undefined; step = steps[next++]) {
      const timeoutMs = Math.max(1000, Math.min(step.job.timeoutMs, suiteEndsMs - performance.now()));
      results.push(await runFile(step.job.file, step.runtime, timeoutMs, reports));
      const ofFile = results.filter(({ file }) => file === step.job.file);
      if (ofFile.length === step.job.runtimes.length) printFile(ofFile);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
