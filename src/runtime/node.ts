/**
 * Node: everything is there; sharing a port only since 23.1 and 22.12.
 *
 * With a libuv before 1.52 (Node 20) a reset that follows unread bytes can look like a clean end on Linux: a reply without a
 * length, cut off by its application, is then passed on as if it were whole. Replies with a length or in chunks are not affected.
 *
 * @see https://github.com/libuv/libuv/pull/4997
 */
import { writeToStderr } from "./node-process.ts";
import { nodeTransport } from "./node-transport.ts";
import type { RuntimeParts } from "./runtime.ts";
import { isOlder } from "./version.ts";

/** The first 20.x in which a throwing TLS callback cannot end the process (CVE-2026-21637). */
export const nodeMinimum = "20.20.2";

export function nodeRuntime(version: string): RuntimeParts {
  const lacksReusePort = isOlder(version, "22.12.0") || (version.startsWith("23.") && isOlder(version, "23.1.0"));
  return {
    transport: nodeTransport({
      runtime: `node ${version}`,
      gaps: lacksReusePort
        ? { "reuse-port": "needs Node 22.12 or 23.1, see https://nodejs.org/api/net.html#serverlistenoptions-callback" }
        : {},
    }),
    minimumVersion: nodeMinimum,
    writeError: writeToStderr,
  };
}
