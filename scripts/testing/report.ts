/** What the test runner prints: a line per file, the failures, a table of runtimes, and the totals as the last line. */

import type { FileResult } from "./run-file.ts";
import type { TestCase } from "./junit.ts";

type Outcome = TestCase["outcome"];

function count(results: readonly FileResult[], outcome: Outcome): number {
  return results.reduce((sum, { cases }) => sum + cases.filter((one) => one.outcome === outcome).length, 0);
}

function seconds(results: readonly FileResult[]): string {
  return results.reduce((sum, result) => sum + result.seconds, 0).toFixed(1);
}

/** One line when a file is done on all its runtimes; failures at once, so that nobody waits for the end to read them. */
export function printFile(results: readonly FileResult[]): void {
  const parts = results.map((result) => {
    const failed = count([result], "failed");
    return `${result.runtime.name} ${count([result], "passed")}${failed > 0 ? ` (${failed} FAILED)` : ""}`;
  });
  const ok = count(results, "failed") === 0;
  console.log(`${ok ? "ok  " : "FAIL"} ${results[0]?.file ?? ""}  ${parts.join("  ")}  ${seconds(results)}s`);
  for (const { runtime, leftProcesses } of results) {
    if (leftProcesses) console.log(`     warning: left processes running on ${runtime.name}; they were killed`);
  }
  if (!ok) printDetails(results);
}

function printDetails(results: readonly FileResult[]): void {
  for (const { file, runtime, cases } of results) {
    for (const { name, outcome, detail } of cases) {
      if (outcome !== "failed") continue;
      console.log(`\n  ${runtime.name}: ${file}\n  ${name}\n${detail.replace(/^/gm, "    ")}\n`);
    }
  }
}

/** The names again, near the end, where they are looked for. */
export function printFailures(results: readonly FileResult[]): void {
  if (count(results, "failed") === 0) return;
  console.log("\nFailed:");
  for (const { file, runtime, cases } of results) {
    for (const { name, outcome } of cases) if (outcome === "failed") console.log(`  ${runtime.name}  ${file}  ${name}`);
  }
}

/** False if a runtime that had files to run executed no test at all. */
export function printTable(results: readonly FileResult[]): boolean {
  const names = [...new Set(results.map(({ runtime }) => runtime.name))].sort();
  const rows = names.map((name) => results.filter(({ runtime }) => runtime.name === name));
  console.log(`\n${row(["runtime", "version", "passed", "failed", "skipped", "seconds"])}`);
  for (const of of rows) {
    const { name = "", version = "" } = of[0]?.runtime ?? {};
    const counts = (["passed", "failed", "skipped"] as const).map((outcome) => String(count(of, outcome)));
    console.log(row([name, version, ...counts, seconds(of)]));
  }
  return rows.every((of) => count(of, "passed") + count(of, "failed") > 0);
}

function row(cells: readonly string[]): string {
  return cells
    .map((cell, index) => (index < 2 ? cell.padEnd(12) : cell.padStart(8)))
    .join(" ")
    .trimEnd();
}

/** The last line, in the form that CI looks for. Returns the number of failures. */
export function printTotals(results: readonly FileResult[]): number {
  const failed = count(results, "failed");
  const skipped = count(results, "skipped");
  const tail = skipped > 0 ? `, ${skipped} skipped` : "";
  console.log(`\n${count(results, "passed")} passed, ${failed} failed${tail}`);
  return failed;
}
