/** `fetchmesh version` */
import { currentRuntime } from "../runtime/current.ts";
import { version as meshVersion } from "../version.ts";
import type { Invocation } from "./verbs.ts";

export async function version({ output }: Invocation): Promise<number> {
  const value = { version: meshVersion, runtime: currentRuntime().label };
  await output.result(value, () => `fetchmesh ${value.version} (${value.runtime})`);
  return 0;
}
