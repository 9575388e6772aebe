/** `fetchmesh status` */
import type { SidecarStatus } from "../control/status.ts";
import type { Paint } from "./output.ts";
import { asOperator } from "./publishing.ts";
import { renderTable, shortDuration } from "./table.ts";
import type { Invocation } from "./verbs.ts";

const columns = [
  { heading: "SERVICE" },
  { heading: "INSTANCE" },
  { heading: "RUNTIME" },
  { heading: "ADDRESS" },
  { heading: "VERSION", align: "right" },
  { heading: "STATE" },
  { heading: "CERTIFICATE" },
  { heading: "SEEN" },
] as const;

export async function status({ settings, output }: Invocation): Promise<number> {
  return asOperator(settings, output, [], async (operator) => {
    const found = await operator.status();
    await output.result(found, () => {
      const head = `version ${found.version}, ${found.sidecars.length} ${found.sidecars.length === 1 ? "sidecar" : "sidecars"}`;
      if (found.sidecars.length === 0) return head;
      const rows = found.sidecars.map((sidecar) => row(sidecar, output.paint));
      const reasons = found.sidecars.flatMap(({ instance, reason }) =>
        reason === null ? [] : [`${instance}: ${reason}`],
      );
      return [head, "", renderTable(columns, rows, output.paint), ...reasons].join("\n");
    });
    return 0;
  });
}

function row(sidecar: SidecarStatus, paint: Paint): string[] {
  const { service, namespace, instance, runtime, address, appliedVersion, state, certificateExpiresAt, lastSeenMs } =
    sidecar;
  const colour = { applied: paint.green, stale: paint.yellow, nacked: paint.red }[state];
  const leftMs = certificateExpiresAt === null ? null : Date.parse(certificateExpiresAt) - Date.now();
  return [
    namespace === "default" ? service : `${service}.${namespace}`,
    instance,
    runtime,
    address,
    String(appliedVersion),
    colour(state),
    leftMs === null ? "none" : leftMs < 0 ? paint.red("expired") : `${shortDuration(leftMs)} left`,
    `${shortDuration(lastSeenMs)} ago`,
  ];
}
