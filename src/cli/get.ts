/** `fetchmesh get` */
import { stringify } from "yaml";
import { MeshError } from "../errors.ts";
import { readDocumentReference } from "./document-reference.ts";
import type { ShownResource } from "./operator.ts";
import { asOperator } from "./publishing.ts";
import { renderTable } from "./table.ts";
import type { Invocation } from "./verbs.ts";

export async function get({ settings, args, output }: Invocation): Promise<number> {
  const reference = args[0] === undefined ? null : readDocumentReference(args[0]);
  const namespace = settings.get("namespace");
  const version = settings.get("version");
  return asOperator(settings, output, [], async (operator) => {
    const found = await operator.resources({
      ...(reference !== null && { kind: reference.kind }),
      ...(reference?.name && { name: reference.name }),
      ...(namespace !== undefined && { namespace }),
      ...(version !== undefined && { version }),
    });
    if (reference?.name && found.resources.length === 0) {
      const where = namespace === undefined ? "" : ` in namespace ${namespace}`;
      throw new MeshError(
        "ERR_RESOURCE_NOT_FOUND",
        `There is no ${reference.kind}/${reference.name}${where} in version ${found.version}`,
      );
    }
    await output.result(found, () => (reference?.name ? asYaml(found.resources) : asTable(found.resources)));
    return 0;
  });

  /** One document, or the same name in several namespaces: as it can be applied again. */
  function asYaml(resources: readonly ShownResource[]): string {
    return resources.map((resource) => stringify(resource).trimEnd()).join("\n---\n");
  }

  function asTable(resources: readonly ShownResource[]): string {
    if (resources.length === 0) return "nothing is published";
    const columns = [{ heading: "KIND" }, { heading: "NAMESPACE" }, { heading: "NAME" }];
    return renderTable(
      columns,
      resources.map(({ kind, metadata }) => [kind, metadata.namespace, metadata.name]),
      output.paint,
    );
  }
}
