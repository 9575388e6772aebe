/** A steady caller that counts what came back, for tests in which nothing may fail. */
import { Agent } from "node:http";
import { call } from "../support/mesh.ts";
import { delay } from "../support/ports.ts";

export interface Load {
  readonly sent: number;
  readonly statuses: ReadonlyMap<number | string, number>;
  /** Ends it and demands that every request was answered with 200. */
  stop(): Promise<{ readonly sent: number; readonly failures: string }>;
}

/** `workers` callers, each with a pause of `pauseMs` between a reply and its next request; every other one keeps its connection. */
export function startLoad(outbound: string, host: string, { workers = 4, pauseMs = 10 } = {}): Load {
  const statuses = new Map<number | string, number>();
  let sent = 0;
  const over = { is: false };
  // A test that failed does not stop its load: it must not hold the process.
  const lastAtMs = performance.now() + 60_000;
  const running = Array.from({ length: workers }, async (_, i) => {
    const agent = new Agent({ keepAlive: i % 2 === 0, maxSockets: 1 });
    while (!over.is && performance.now() < lastAtMs) {
      sent++;
      const result = await call(outbound, "/", { headers: { host }, agent }).then(
        ({ status, headers }) => (status === 200 ? 200 : `${status} ${String(headers["x-mesh-flag"])}`),
        (error: unknown) => String(error),
      );
      statuses.set(result, (statuses.get(result) ?? 0) + 1);
      await delay(pauseMs);
    }
    agent.destroy();
  });
  return {
    get sent() {
      return sent;
    },
    statuses,
    async stop() {
      over.is = true;
      await Promise.all(running);
      const failures = [...statuses]
        .filter(([status]) => status !== 200)
        .map(([status, n]) => `${n} x ${status}`)
        .join(", ");
      return { sent, failures };
    },
  };
}
