/** `fetchmesh validate` */
import { existsSync } from "node:fs";
import { readDocuments } from "../control/documents.ts";
import { hasErrors, type Problem } from "../control/problems.ts";
import { contextPaths } from "./context.ts";
import { asOperator, showProblems } from "./publishing.ts";
import type { Settings } from "./settings.ts";
import { readSource } from "./sources.ts";
import type { Invocation } from "./verbs.ts";

export async function validate({ settings, output }: Invocation): Promise<number> {
  const sources = [await readSource(settings.need("file"))];
  if (!knowsMesh(settings)) {
    await output.message("no mesh is known here: references to services that are only there cannot be checked");
    return show(readDocuments(sources).problems);
  }
  return asOperator(settings, output, sources, async (operator) => show(await operator.validate(sources)));

  async function show(problems: readonly Problem[]): Promise<number> {
    if (output.json || problems.length > 0) await showProblems(problems, sources, output);
    if (hasErrors(problems)) return 1;
    if (!output.json) await output.text(problems.length === 0 ? "no problems" : "no errors");
    return 0;
  }
}

/** In a repository's checks there is usually no mesh; what can be said without one is said. */
function knowsMesh(settings: Settings): boolean {
  return (
    settings.isGiven("control") || settings.isGiven("store") || existsSync(contextPaths(settings.need("dir")).facts)
  );
}
