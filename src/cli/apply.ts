/** `fetchmesh apply` */
import { asOperator, publishOptions, showPublished } from "./publishing.ts";
import { readSource } from "./sources.ts";
import type { Invocation } from "./verbs.ts";

export async function apply({ settings, output }: Invocation): Promise<number> {
  const sources = [await readSource(settings.need("file"))];
  return asOperator(settings, output, sources, async (operator) => {
    const published = await operator.apply(sources, publishOptions(settings));
    return showPublished(published, settings, sources, output);
  });
}
