/** No sidecar at all: what client and application can do by themselves. */
import type { Setting, System } from "../system.ts";

export function direct({ appPort }: Setting): System {
  return { id: "direct", title: "direct", port: appPort, pids: [], configuration: {}, stop: async () => {} };
}
