/** Rows under headings, columns aligned. */
import type { Paint } from "./output.ts";

export interface Column {
  readonly heading: string;
  readonly align?: "right";
}

/** Cells may carry colours; they do not count for the width. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], paint: Paint): string {
  const widths = columns.map(({ heading }, index) =>
    Math.max(heading.length, ...rows.map((row) => visibleLength(row[index] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const gap = " ".repeat(Math.max(0, widths[index]! - visibleLength(cell)));
        return columns[index]?.align === "right" ? gap + cell : cell + gap;
      })
      .join("  ")
      .trimEnd();
  return [paint.dim(line(columns.map(({ heading }) => heading))), ...rows.map(line)].join("\n");
}

/** Columns of a terminal that `text` takes, colours left out. */
export function visibleLength(text: string): number {
  // oxlint-disable-next-line no-control-regex -- colours are control sequences
  return text.replace(/\u001b\[\d+m/g, "").length;
}

/** "3 s", "4 min", "2 h": short, for columns of ages and times left. */
export function shortDuration(ms: number): string {
  const size = Math.abs(ms);
  if (size < 1_000) return `${Math.round(ms)} ms`;
  if (size < 120_000) return `${Math.round(ms / 1_000)} s`;
  if (size < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return size < 172_800_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`;
}
