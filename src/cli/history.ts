/** `fetchmesh history` */
import { asOperator } from "./publishing.ts";
import { renderTable } from "./table.ts";
import type { Invocation } from "./verbs.ts";

const columns = [
  { heading: "VERSION", align: "right" },
  { heading: "AT" },
  { heading: "AUTHOR" },
  { heading: "CHANGES", align: "right" },
  { heading: "MESSAGE" },
] as const;

export async function history({ settings, output }: Invocation): Promise<number> {
  return asOperator(settings, output, [], async (operator) => {
    const versions = await operator.history(settings.need("limit"));
    const rows = versions.map(({ version, at, author, changes, message }) => [
      String(version),
      at,
      author,
      String(changes),
      message,
    ]);
    await output.result({ versions }, () =>
      rows.length === 0 ? "nothing is published" : renderTable(columns, rows, output.paint),
    );
    return 0;
  });
}
