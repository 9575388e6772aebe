/** `fetchmesh control` */
import { systemClock } from "../clock.ts";
import { openStore } from "../control/open-store.ts";
import { createControlPlane } from "../control/plane.ts";
import type { Store } from "../control/store.ts";
import { systemRandom } from "../random.ts";
import { currentRuntime } from "../runtime/current.ts";
import { serve, serverLog, StopRequest } from "./serve.ts";
import type { Invocation } from "./verbs.ts";

export function control(invocation: Invocation): Promise<number> {
  return serveControlPlane(invocation, invocation.settings.need("store"));
}

export async function serveControlPlane({ settings, output }: Invocation, storeUrl: string): Promise<number> {
  const stop = new StopRequest();
  const { transport, files, process } = currentRuntime();
  const mesh = settings.need("mesh");
  const trustDomain = settings.need("trust-domain");
  const shared = { mesh, clock: systemClock, random: systemRandom, files };
  const store = await openStore(storeUrl, { ...shared, fetch: null, warn: (message) => serverLog.warn(message) });
  if ((await stop.race(connected(store))) === null) return 0;
  const plane = await createControlPlane({
    ...shared,
    store,
    transport,
    trustDomain,
    listen: settings.need("listen"),
    certTtlMs: settings.need("cert-ttl"),
    dir: settings.need("dir"),
    log: (level, message) => serverLog[level](message),
  });
  const ready = { control: plane.address, store: store.name, mesh, trustDomain, pid: process.pid };
  const drain = async (): Promise<void> => {
    await plane.close();
    await store.close();
  };
  return serve({ ready, drain }, stop, output);
}

/** A connection takes a moment; only what takes longer is worth a word. */
const patienceMs = 500;

/** Without its store a control plane could neither publish nor tell who is there: it is not ready before. */
async function connected(store: Store): Promise<true> {
  const startedAtMs = systemClock.nowMs();
  let isTold = false;
  while (!store.isConnected) {
    if (!isTold && systemClock.nowMs() - startedAtMs >= patienceMs) {
      serverLog.warn("not ready: the store cannot be reached, trying again until it can", { store: store.name });
      isTold = true;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (isTold) serverLog.info("the store can be reached", { store: store.name });
  return true;
}
