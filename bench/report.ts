/** One run as a table for people, Markdown for the repository and JSON for scripts. */
import type { Machine } from "./machine.ts";
import type { Sample } from "./rounds.ts";
import type { Summary } from "./summary.ts";

export interface Case {
  readonly id: string;
  readonly title: string;
  readonly reference: string;
  readonly summaries: readonly Summary[];
  readonly samples: readonly Sample[];
}

/** Megabytes of both sidecars of a system, outbound first. */
export interface Memory {
  readonly system: string;
  readonly idle: readonly number[];
  readonly afterLoad: readonly number[];
}

export interface Run {
  readonly date: string;
  readonly command: string;
  readonly machine: Machine;
  /** What the figures were made with: "wrk 4.1.0". */
  readonly tools: readonly string[];
  readonly titles: Readonly<Record<string, string>>;
  readonly cases: readonly Case[];
  readonly memory: readonly Memory[];
  readonly configuration: Readonly<Record<string, string>>;
  /** What could not be measured, and why. */
  readonly notes: readonly string[];
}

export function caseTable({ summaries, reference }: Case, run: Pick<Run, "titles">): string[][] {
  const hasThroughput = summaries.some(({ requestsPerSecond }) => requestsPerSecond > 1100);
  const heading = [
    "system",
    "CPU µs/request",
    "min",
    `/ ${reference}`,
    "/ bytes only",
    hasThroughput ? "requests/s" : "",
    "p50 µs",
    "p99 µs",
    `p99 / ${reference}`,
    "rounds",
  ];
  const rows = summaries.map((one) => [
    run.titles[one.system] ?? one.system,
    one.cpuUs > 0 ? one.cpuUs.toFixed(1) : "–",
    one.cpuUs > 0 ? one.cpuUsMin.toFixed(1) : "–",
    one.cpuUs > 0 ? ratio(one.cpuRatio) : "–",
    ratio(one.floorRatio),
    hasThroughput ? String(Math.round(one.requestsPerSecond)) : "",
    String(Math.round(one.p50Us)),
    String(Math.round(one.p99Us)),
    ratio(one.p99Ratio),
    one.rounds === one.ofRounds ? String(one.rounds) : `${one.rounds} of ${one.ofRounds}`,
  ]);
  const table = [heading, ...rows];
  return hasThroughput ? table : table.map((row) => row.toSpliced(5, 1));
}

export function memoryTable(run: Pick<Run, "titles" | "memory">): string[][] {
  const megabytes = (values: readonly number[]): string => values.map((value) => value.toFixed(0)).join(" + ");
  const rows = run.memory.map(({ system, idle, afterLoad }) => [
    run.titles[system] ?? system,
    megabytes(idle),
    megabytes(afterLoad),
  ]);
  return [["system", "RSS idle, MB (out + in)", "RSS after load, MB"], ...rows];
}

/** Columns aligned, the first to the left. */
export function plainTable(table: readonly (readonly string[])[]): string {
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) => row.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!))).join("  "))
    .join("\n");
}

export function markdown(run: Run): string {
  const { machine } = run;
  return [
    `## ${run.date}`,
    `\`${run.command}\` on ${machine.cores} cores of ${machine.cpu}, ${machine.memoryGigabytes} GB, ${machine.kernel}; commit ${machine.commit}; ${run.tools.join(", ")}.`,
    ...run.notes.map((note) => `- ${note}`),
    ...run.cases.flatMap((one) => [`### ${one.title}`, markdownTable(caseTable(one, run)), chart(one, run)]),
    "### Memory",
    markdownTable(memoryTable(run)),
    "### Configuration of the peers",
    ...Object.entries(run.configuration).map(
      ([name, text]) => `<details><summary>${name}</summary>\n\n\`\`\`\n${text}\`\`\`\n\n</details>`,
    ),
  ].join("\n\n");
}

function markdownTable(table: readonly (readonly string[])[]): string {
  const line = (row: readonly string[]): string => `| ${row.join(" | ")} |`;
  const rule = table[0]!.map((_, n) => (n === 0 ? "---" : "---:"));
  return [line(table[0]!), line(rule), ...table.slice(1).map(line)].join("\n");
}

/** CPU per request as bars of text: shows in a terminal, a diff and a browser alike. */
function chart({ summaries }: Case, { titles }: Pick<Run, "titles">): string {
  const shown = summaries.filter(({ cpuUs }) => cpuUs > 0);
  if (shown.length === 0) return "";
  const most = Math.max(...shown.map(({ cpuUs }) => cpuUs));
  const width = Math.max(...shown.map(({ system }) => titles[system]!.length));
  const bars = shown.map(
    ({ system, cpuUs }) =>
      `${titles[system]!.padEnd(width)}  ${"█".repeat(Math.round((cpuUs / most) * 50))} ${cpuUs.toFixed(1)} µs`,
  );
  return ["```", ...bars, "```"].join("\n");
}

function ratio(value: number | null): string {
  return value === null ? "–" : value.toFixed(2);
}
