/** Bun: nothing is missing of what the mesh needs of sockets (measured on 1.4.5). */
import { writeToStderr } from "./node-process.ts";
import { nodeTransport } from "./node-transport.ts";
import type { RuntimeParts } from "./runtime.ts";

/** 1.4.0 is the first release whose `node:tls` verifies, rotates and pauses as measured. */
export const bunMinimum = "1.4.0";

export function bunRuntime(version: string): RuntimeParts {
  return {
    transport: nodeTransport({ runtime: `bun ${version}`, gaps: {} }, { resetsTls: true }),
    minimumVersion: bunMinimum,
    writeError: writeToStderr,
  };
}
