/** `ProcessControl` on `node:process`, the same on Bun, Deno and Node. */
import { write } from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import { LineSink, type WriteBytes } from "./line-sink.ts";
import type { ProcessControl } from "./process.ts";
import { systemCode } from "./socket-errors.ts";

/** A socket that broke while nobody listened: its owner was told by `close`, or is gone. */
const survivable =
  /^(?:ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTCONN|ECANCELED|ERR_STREAM_|ERR_SOCKET_|ERR_SSL_|ERR_TLS_|ERR_HTTP2_)/;

/** A pipe may be full: the write then waits on a thread of the runtime's pool, not on ours. */
export const writeToStderr: WriteBytes = (bytes, done) => write(2, bytes, 0, bytes.length, null, done);

export function nodeProcess(writeError: WriteBytes): ProcessControl {
  const errors = new LineSink(writeError);
  const exit = async (code: number): Promise<never> => {
    await errors.drained();
    process.exit(code);
  };
  return {
    pid: process.pid,
    hostname: hostname(),
    writeError: (text) => errors.write(text),
    get linesDropped() {
      return errors.dropped;
    },
    flushed: () => errors.drained(),

    onUncaught(report) {
      process.on("uncaughtException", (error: unknown) => {
        const isFatal = !survivable.test(systemCode(error));
        report(error, isFatal);
        if (isFatal) void exit(1);
      });
      process.on("unhandledRejection", (error: unknown) => report(error, false));
    },

    usage() {
      const { user, system } = process.cpuUsage();
      return {
        cpuSeconds: (user + system) / 1e6,
        residentBytes: process.memoryUsage().rss,
        uptimeSeconds: process.uptime(),
      };
    },
  };
}
