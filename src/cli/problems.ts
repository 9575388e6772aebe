/** Problems of documents and config files, as compilers show them: place, what is wrong, what to write, and the line itself. */
import type { Problem } from "../control/problems.ts";
import { plain } from "./output.ts";
import type { Paint } from "./output.ts";

/** `sources`: the texts by file name; a problem of a file that is not among them is shown without its line. */
export function renderProblems(
  problems: readonly Problem[],
  sources: ReadonlyMap<string, string>,
  paint: Paint = plain,
): string {
  return problems.map((problem) => renderProblem(problem, sources, paint)).join("\n");
}

function renderProblem(problem: Problem, sources: ReadonlyMap<string, string>, paint: Paint): string {
  const { code, severity, file, line, column, message, suggestion } = problem;
  // Line 0: a document that is published already has no text to point at.
  const place = paint.bold(line > 0 ? `${file}:${line}:${column}` : file);
  const label = severity === "error" ? paint.red(`error ${code}`) : paint.yellow(`warning ${code}`);
  const head = `${place}: ${label}: ${message}${suggestion ? ` (${suggestion.replace(/\.$/, "")})` : ""}`;
  const sourceLine = sources.get(file)?.split("\n")[line - 1]?.replace(/\r$/, "");
  if (sourceLine === undefined) return head;
  const margin = String(line);
  // Tabs stay tabs, so that the caret stands below the right letter however wide they are shown.
  const indent = sourceLine.slice(0, column - 1).replace(/[^\t]/g, " ");
  return [
    head,
    `  ${paint.dim(`${margin} |`)} ${sourceLine}`,
    `  ${paint.dim(`${" ".repeat(margin.length)} |`)} ${indent}${paint.red("^")}`,
  ].join("\n");
}
