/** What an operator wants to read about once: everything that changed, nothing that merely happened again. */
import type { Events } from "./events.ts";
import type { Log } from "./log.ts";

/** An `Events` that writes to the process log. Requests are the access log's business. */
export function logEvents(log: Log): Events {
  return {
    breakerChanged(cluster, endpoint, from, to, source) {
      const line = { service: cluster.key, endpoint: endpoint.record.address, from, to, source };
      if (to === "open") log.warn("breaker opened", line);
      else log.info("breaker changed", line);
    },
    endpointsChanged: (cluster) =>
      log.info("endpoints changed", {
        service: cluster.key,
        endpoints: cluster.endpoints.map(({ record }) => record.address),
      }),
    handshakeRefused: (direction, reason, remoteAddress) =>
      log.warn("connection refused", { direction, reason, remoteAddress }),
    configApplied: (version, tookMs) => log.info("config applied", { version, tookMs: Math.round(tookMs * 10) / 10 }),
    configRefused: (version, reason) => log.error("config refused, the last good one stays", { version, reason }),
    storeChanged(isConnected) {
      if (isConnected) log.info("store connected");
      else log.warn("store cannot be reached: everything known stays in force, and it is tried again");
    },
    certificateChanged: (notAfterMs) =>
      log.info("certificate in use", { notAfter: new Date(notAfterMs).toISOString() }),
    certificateFailed: (reason) => log.error("certificate not renewed", { reason }),
  };
}
