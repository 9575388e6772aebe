/** A runtime as the sidecar and the control plane see it. */
import type { SocketTransport } from "./contract.ts";
import type { Files } from "./files.ts";
import type { WriteBytes } from "./line-sink.ts";
import type { ProcessControl } from "./process.ts";

export type RuntimeName = "bun" | "deno" | "node";

/** What each runtime's own file contributes. */
export interface RuntimeParts {
  readonly transport: SocketTransport;
  /** Older releases have known holes. */
  readonly minimumVersion: string;
  /** Writes to stderr without blocking, however slow its reader is. */
  readonly writeError: WriteBytes;
}

export interface Runtime extends RuntimeParts {
  readonly name: RuntimeName;
  readonly version: string;
  /** "bun 1.4.5", as ready lines and instance records say it. */
  readonly label: string;
  /** Why this version should not carry a mesh, or null. */
  readonly concern: string | null;
  readonly files: Files;
  readonly process: ProcessControl;
}
