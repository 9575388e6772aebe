/** `fetchmesh dev`: `control` with nothing to decide. */
import { serveControlPlane } from "./control.ts";
import type { Invocation } from "./verbs.ts";

export async function dev(invocation: Invocation): Promise<number> {
  const { settings, output } = invocation;
  const service = "npx fetchmesh run --service orders --port 8080 -- COMMAND";
  if (output.isTerminal) await output.message(`context: ${settings.need("dir")}   next: ${service}`);
  return serveControlPlane(invocation, "memory");
}
