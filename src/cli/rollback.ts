/** `fetchmesh rollback` */
import { wholeNumber } from "./parse.ts";
import { asOperator, publishOptions, showPublished } from "./publishing.ts";
import { UsageError } from "./usage-error.ts";
import type { Invocation } from "./verbs.ts";

export async function rollback({ settings, args, output }: Invocation): Promise<number> {
  const version = wholeNumber.read(args[0] ?? "");
  if (!version)
    throw new UsageError(
      `cannot roll back to "${args[0]}": expected a version from 1 on, as fetchmesh history lists them`,
    );
  return asOperator(settings, output, [], async (operator) => {
    const published = await operator.rollback(version, publishOptions(settings));
    return showPublished(published, settings, [], output);
  });
}
