/** The floor of a runtime: the same two mTLS hops with nobody looking at the bytes. */
import { join } from "node:path";
import { startProcess, type MeshProcess } from "../../tests/support/processes.ts";
import { apiDnsName, type Runtime, type Setting, type System } from "../system.ts";

const program = join(import.meta.dirname, "forward-process.ts");
const runArguments: Readonly<Record<Runtime, readonly string[]>> = {
  bun: [],
  deno: ["run", "-A", "--no-check"],
  node: [],
};

export async function startForwarders(runtime: Runtime, setting: Setting): Promise<System> {
  const { appPort, certificates } = setting;
  const start = (...args: readonly string[]): MeshProcess =>
    startProcess(runtime, [...runArguments[runtime], program, ...args]);
  const inbound = start("inbound", String(appPort), certificates.api);
  const inboundPort = Number((await inbound.ready())["port"]);
  const outbound = start("outbound", String(inboundPort), certificates.caller, apiDnsName);
  return {
    id: `${runtime}-bytes`,
    title: `bytes only, ${runtime}`,
    port: Number((await outbound.ready())["port"]),
    pids: [outbound.pid, inbound.pid],
    configuration: {},
    stop: async () => void (await Promise.all([outbound.stop(), inbound.stop()])),
  };
}
