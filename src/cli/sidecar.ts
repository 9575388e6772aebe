/** `fetchmesh sidecar` */
import { createSidecar } from "../sidecar.ts";
import { serve, StopRequest } from "./serve.ts";
import { sidecarOptions } from "./sidecar-settings.ts";
import type { Invocation } from "./verbs.ts";

export async function sidecar({ settings, output }: Invocation): Promise<number> {
  const stop = new StopRequest();
  const options = await stop.race(sidecarOptions(settings, settings.need("app")));
  if (options === null) return 0;
  // Waits for as long as the store or the control plane cannot be reached, and says so in the log.
  const started = await stop.race(createSidecar(options));
  // Asked to stop before there was anything to drain.
  if (started === null) return 0;
  return serve({ ready: started.ready, drain: () => started.drain() }, stop, output);
}
