/** Ours: two `fetchmesh sidecar` processes with every default layer on, as an operator would start them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, freePort } from "../../tests/support/ports.ts";
import { runFetchmesh, startFetchmesh, type MeshProcess } from "../../tests/support/processes.ts";
import { benchDocuments } from "../documents.ts";
import type { Runtime, Setting, System } from "../system.ts";

/** @param store URL of a store, `file:` in the run's own folder if absent */
export async function startMesh(runtime: Runtime, setting: Setting, store?: string): Promise<System> {
  const { folder, appPort, certificates } = setting;
  const mesh = ["--mesh", `bench-${runtime}`, "--store", store ?? `file:${join(folder, `store-${runtime}`)}`];
  const inboundPort = await freePort();
  const documents = benchDocuments(inboundPort);
  const file = join(folder, `mesh-${runtime}.yaml`);
  writeFileSync(file, documents);
  const applied = await runFetchmesh(["apply", "-f", file, ...mesh], { runtime });
  if (applied.code !== 0) throw new Error(`fetchmesh apply: ${applied.stderr}${applied.stdout}`);

  const start = (service: string, svidDir: string, port: number, app: number): MeshProcess =>
    startFetchmesh(
      ["sidecar", "--service", service, "--app", `127.0.0.1:${app}`, "--svid-dir", svidDir, ...mesh]
        .concat(["--inbound", `0.0.0.0:${port}`, "--outbound", "127.0.0.1:0"])
        .concat(["--admin", "127.0.0.1:0", "--health", "127.0.0.1:0"]),
      { runtime },
    );
  const inbound = start("api", certificates.api, inboundPort, appPort);
  const outbound = start("caller", certificates.caller, 0, 1);
  const stop = async (): Promise<void> => void (await Promise.all([outbound.stop(), inbound.stop()]));
  try {
    const [ready] = await Promise.all([outbound.ready(), inbound.ready()]);
    const admin = `http://${String(ready["admin"])}`;
    await eventually("three endpoints of api", async () => (await countEndpoints(admin)) === 3);
    return {
      id: runtime,
      title: `fetchmesh on ${String(ready["runtime"])}`,
      port: Number(/\d+$/.exec(String(ready["outbound"]))?.[0]),
      pids: [outbound.pid, inbound.pid],
      configuration: {},
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function countEndpoints(admin: string): Promise<number> {
  const answer = await fetch(`${admin}/endpoints`);
  const { services } = (await answer.json()) as { services: { service: string; endpoints: unknown[] }[] };
  return services.find(({ service }) => service === "api")?.endpoints.length ?? 0;
}
