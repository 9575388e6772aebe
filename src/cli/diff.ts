/** `fetchmesh diff` */
import type { Paint } from "./output.ts";
import { asOperator } from "./publishing.ts";
import { readSource } from "./sources.ts";
import type { Invocation } from "./verbs.ts";

export async function diff({ settings, output }: Invocation): Promise<number> {
  const sources = [await readSource(settings.need("file"))];
  return asOperator(settings, output, sources, async (operator) => {
    const changes = (await operator.diff(sources)).filter(({ action }) => action !== "unchanged");
    await output.result({ changes }, () =>
      changes.length === 0
        ? "no differences"
        : changes.map(({ patch }) => colourPatch(patch.trimEnd(), output.paint)).join("\n"),
    );
    // As `diff` itself has it: 1 says that there are differences.
    return changes.length === 0 ? 0 : 1;
  });
}

function colourPatch(patch: string, paint: Paint): string {
  const colourLine = (line: string): string => {
    if (line.startsWith("+++") || line.startsWith("---")) return paint.bold(line);
    if (line.startsWith("@@")) return paint.cyan(line);
    return line.startsWith("+") ? paint.green(line) : line.startsWith("-") ? paint.red(line) : line;
  };
  return patch.split("\n").map(colourLine).join("\n");
}
