/**
 * Deno: the sockets of `node:net` and `node:tls`, as on Node, with one hole to close.
 *
 * After `pause()` its TLS sockets go on reading, decrypting and buffering without bound (300 of 300 MB, measured on 2.9.6), while
 * its TCP sockets do stop. So the TCP handle below the TLS one is stopped instead. That handle is no public API: should a later
 * release hide it, what arrives while paused is held up to a hard cap, and the contract tests say so.
 *
 * @see https://github.com/denoland/deno/pull/33524
 */
import type { TLSSocket } from "node:tls";
import type { ReadControl } from "./node-socket.ts";
import { nodeTransport } from "./node-transport.ts";
import type { RuntimeParts } from "./runtime.ts";

interface DenoStream {
  write(bytes: Uint8Array): Promise<number>;
}

/** Declared as small as it is used: Deno's types would change `fetch` and `Response` for everyone. */
declare const Deno: { readonly stderr: DenoStream };

/** 2.9.0 is the first release line whose `node:tls` was measured to verify both sides. */
export const denoMinimum = "2.9.0";

export function denoRuntime(version: string): RuntimeParts {
  return {
    transport: nodeTransport({ runtime: `deno ${version}`, gaps: {} }, { tlsReadControl }),
    minimumVersion: denoMinimum,
    writeError,
  };
}

/** Deno's own API, because `process.stderr.write` and `fs.write` block the whole process there while a pipe is full (2.9.6). */
async function writeError(bytes: Uint8Array, done: (error: unknown, written: number) => void): Promise<void> {
  let written = 0;
  let failure: unknown = null;
  try {
    written = await Deno.stderr.write(bytes);
  } catch (error) {
    failure = error;
  }
  done(failure, written);
}

function tlsReadControl(socket: TLSSocket): ReadControl | null {
  const below = (socket as unknown as { _handle?: { _parent?: Partial<ReadControl> } })._handle?._parent;
  return typeof below?.readStop === "function" && typeof below.readStart === "function" ? (below as ReadControl) : null;
}
