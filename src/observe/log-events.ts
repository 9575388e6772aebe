/** What an operator wants to read about once: everything that changed, nothing that merely happened again. */
import { systemClock, type Clock } from "../clock.ts";
import type { Events } from "./events.ts";
import { handshakeReason, type HandshakeReason } from "./handshake-reason.ts";
import type { Log } from "./log.ts";

/** A refused connection costs its sender nothing: one line per reason and ten seconds, with the number of those left out. */
const refusalQuietMs = 10_000;

/** An `Events` that writes to the process log. Requests are the access log's business. */
export function logEvents(log: Log, clock: Clock = systemClock): Events {
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
    handshakeRefused: refusals(log, clock),
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

function refusals(log: Log, clock: Clock): NonNullable<Events["handshakeRefused"]> {
  const quiet = new Map<HandshakeReason, { untilMs: number; leftOut: number }>();
  return (direction, reason, remoteAddress) => {
    const kind = handshakeReason(reason);
    const nowMs = clock.nowMs();
    const before = quiet.get(kind);
    if (before !== undefined && nowMs < before.untilMs) {
      before.leftOut++;
      return;
    }
    quiet.set(kind, { untilMs: nowMs + refusalQuietMs, leftOut: 0 });
    const leftOut = before?.leftOut ?? 0;
    log.warn("connection refused", { direction, reason, remoteAddress, ...(leftOut > 0 && { leftOut }) });
  };
}
