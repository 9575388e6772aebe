/** `fetchmesh endpoints`: what one sidecar knows, asked of its admin port. */
import { request } from "node:http";
import { MeshError } from "../errors.ts";
import type { EndpointReport, ServiceReport } from "../observe/endpoint-report.ts";
import { type Address, formatAddress } from "./parse.ts";
import type { Paint } from "./output.ts";
import { renderTable } from "./table.ts";
import type { Invocation } from "./verbs.ts";

const columns = [
  { heading: "SERVICE" },
  { heading: "ADDRESS" },
  { heading: "INSTANCE" },
  { heading: "WEIGHT", align: "right" },
  { heading: "BREAKER" },
  { heading: "SOURCE" },
  { heading: "IN FLIGHT", align: "right" },
  { heading: "LATENCY", align: "right" },
] as const;

export async function endpoints({ settings, args, output }: Invocation): Promise<number> {
  const { services } = await readEndpoints(settings.need("admin"));
  const found = { services: services.filter(isWanted(args[0], settings.get("namespace"))) };
  await output.result(found, () => {
    const rows = found.services.flatMap((service) =>
      service.endpoints.map((endpoint) => row(service, endpoint, output.paint)),
    );
    return rows.length === 0 ? "no endpoints" : renderTable(columns, rows, output.paint);
  });
  if (args[0] !== undefined && found.services.length === 0) {
    await output.message(`this sidecar knows no service ${args[0]}`);
    return 1;
  }
  return 0;
}

/** `orders`, `orders.shop` or `orders.shop.svc.cluster.local`, as it is addressed. */
function isWanted(name: string | undefined, namespace: string | undefined): (service: ServiceReport) => boolean {
  const [wantedService, wantedNamespace = namespace] = name?.split(".") ?? [];
  return (one) =>
    (wantedService === undefined || one.service === wantedService) &&
    (wantedNamespace === undefined || one.namespace === wantedNamespace);
}

/** By node:http: the admin port is plain and local, and no HTTP_PROXY may come between. */
function readEndpoints(admin: Address): Promise<{ services: readonly ServiceReport[] }> {
  const address = formatAddress(admin);
  const target = "path" in admin ? { socketPath: admin.path } : admin;
  const fail = (why: string, cause?: unknown): MeshError =>
    new MeshError("ERR_CONNECT_FAILED", `The admin API at ${address} ${why}`, {
      ...(cause !== undefined && { cause }),
      advice: "pass --admin HOST:PORT of a sidecar: its ready line says where it is",
    });
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...target, path: "/endpoints", timeout: 5_000 }, (incoming) => {
      let text = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => (text += chunk));
      incoming.on("error", (error) => reject(fail("broke off", error)));
      incoming.on("end", () => {
        if (incoming.statusCode !== 200) return reject(fail(`answered ${incoming.statusCode}: ${text.slice(0, 300)}`));
        try {
          resolve(JSON.parse(text) as { services: readonly ServiceReport[] });
        } catch (error) {
          reject(fail("is not that of a sidecar", error));
        }
      });
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error("no answer within 5 s")));
    outgoing.on("error", (error) => reject(fail("cannot be reached", error)));
    outgoing.end();
  });
}

function row(service: ServiceReport, endpoint: EndpointReport, paint: Paint): string[] {
  const colour = { closed: paint.green, "half-open": paint.yellow, open: paint.red }[endpoint.breaker];
  return [
    service.namespace === "default" ? service.service : `${service.service}.${service.namespace}`,
    endpoint.address,
    endpoint.instance ?? "-",
    String(endpoint.weight),
    colour(endpoint.breaker),
    endpoint.source,
    String(endpoint.inFlight),
    endpoint.latencyEwmaMs === 0 ? "-" : `${endpoint.latencyEwmaMs} ms`,
  ];
}
