/** `fetchmesh delete` */
import { readDocumentReference } from "./document-reference.ts";
import { asOperator, publishOptions, showPublished } from "./publishing.ts";
import { UsageError } from "./usage-error.ts";
import type { Invocation } from "./verbs.ts";

export async function deleteDocument({ settings, args, output }: Invocation): Promise<number> {
  const { kind, name } = readDocumentReference(args[0] ?? "");
  // Never a whole kind: what is deleted is named.
  if (name === null) throw new UsageError(`which ${kind}? Expected ${kind}/NAME`);
  return asOperator(settings, output, [], async (operator) => {
    const document = { kind, namespace: settings.need("namespace"), name };
    const published = await operator.remove(document, publishOptions(settings));
    return showPublished(published, settings, [], output);
  });
}
