/** What apply, delete and rollback share: how a change is asked for, told, and how its refusal is shown. */
import type { DocumentSource } from "../control/documents.ts";
import type { Problem } from "../control/problems.ts";
import type { AppliedReport } from "../control/status.ts";
import {
  type Change,
  openOperator,
  type Operator,
  type Published,
  type PublishOptions,
  RefusedError,
} from "./operator.ts";
import type { Output, Paint } from "./output.ts";
import { renderProblems } from "./problems.ts";
import type { Settings } from "./settings.ts";

/** Settings that a verb has not got are absent, which is what they would be. */
export function publishOptions(settings: Settings): PublishOptions {
  const message = settings.get("message");
  const expectVersion = settings.get("expect-version");
  const waitMs = settings.get("wait");
  return {
    ...(message !== undefined && { message }),
    ...(expectVersion !== undefined && { expectVersion }),
    ...(settings.get("dry-run") === true && { dryRun: true }),
    ...(waitMs !== undefined && { waitMs }),
  };
}

/** Does one thing as an operator, and shows a refusal with the lines of `sources`. Resolves to the exit code. */
export async function asOperator(
  settings: Settings,
  output: Output,
  sources: readonly DocumentSource[],
  work: (operator: Operator) => Promise<number>,
): Promise<number> {
  const operator = await openOperator(settings);
  try {
    return await work(operator);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    await showProblems(error.problems, sources, output);
    return 1;
  } finally {
    await operator.close();
  }
}

/** On stdout for programs, on stderr for people: a refusal is not the result that was asked for. */
export async function showProblems(
  problems: readonly Problem[],
  sources: readonly DocumentSource[],
  output: Output,
): Promise<void> {
  if (output.json) return output.value({ problems });
  const inOrder = [...problems].sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column);
  const texts = new Map(sources.map(({ file, text }) => [file, text]));
  await output.message(renderProblems(inOrder, texts, output.errorPaint));
}

export async function showPublished(
  published: Published,
  settings: Settings,
  sources: readonly DocumentSource[],
  output: Output,
): Promise<number> {
  const warnings = published.problems ?? [];
  if (warnings.length > 0 && !output.json) await showProblems(warnings, sources, output);
  await output.result(published, () => renderPublished(published, settings.get("dry-run") === true, output.paint));
  if (published.applied !== undefined && !isEverywhere(published.applied)) {
    await output.message(`${output.errorPaint.yellow("warning:")} not every sidecar has it yet: see fetchmesh status`);
    return 1;
  }
  return 0;
}

function isEverywhere({ sidecars, of }: AppliedReport): boolean {
  return sidecars === of;
}

function renderPublished({ version, changes, applied }: Published, isDryRun: boolean, paint: Paint): string {
  const lines = changes.map((change) => renderChange(change, paint));
  if (changes.every(({ action }) => action === "unchanged")) lines.push(`nothing changed: still version ${version}`);
  else lines.push(isDryRun ? `dry run: this would be version ${version}` : `version ${paint.bold(String(version))}`);
  if (applied !== undefined) {
    const { sidecars, of, p50Ms, maxMs } = applied;
    lines.push(
      `applied by ${sidecars} of ${of} sidecars${sidecars > 0 ? `, half of them within ${p50Ms} ms, all within ${maxMs} ms` : ""}`,
    );
  }
  return lines.join("\n");
}

function renderChange({ action, kind, namespace, name }: Change, paint: Paint): string {
  const colour = { created: paint.green, updated: paint.yellow, deleted: paint.red, unchanged: paint.dim }[action];
  return `${kind}/${name} ${namespace === "default" ? "" : `(${namespace}) `}${colour(action)}`;
}
