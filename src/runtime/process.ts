/** The process around the mesh: signals, lines, environment, children. One implementation serves Bun, Deno and Node. */

export interface ProcessUsage {
  /** User and system time since start. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Since the process started. */
  readonly uptimeSeconds: number;
}

export interface ChildExit {
  /** null if a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Child {
  readonly pid: number;
  /** Never rejects: a child that could not be started made `spawn` reject. */
  readonly exited: Promise<ChildExit>;
  /** No error if it is gone already. @default "SIGTERM" */
  kill(signal?: string): void;
}

export interface SpawnOptions {
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly directory?: string;
  /** Gets every line the child writes to stdout, without its line end; absent: stdout is ours. Lines over 64 KiB are cut. */
  readonly onOutput?: (line: string) => void;
  /** The same for stderr. */
  readonly onErrorOutput?: (line: string) => void;
}

export type TerminationSignal = "SIGTERM" | "SIGINT";

export interface ProcessControl {
  readonly pid: number;
  /** What follows the script on the command line. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostname: string;
  readonly directory: string;
  /** The runtime's executable and the script it runs: what starts another of us. */
  readonly executable: string;
  readonly script: string;
  readonly isOutputTerminal: boolean;
  readonly isErrorTerminal: boolean;
  /** Queues text for stdout; never blocks, never throws. A reader that stalls costs lines, not memory: see `linesDropped`. */
  writeOutput(text: string): void;
  writeError(text: string): void;
  /** Lines given up so far because nobody read them. */
  readonly linesDropped: number;
  /** All of stdin as text, up to 16 MiB. */
  readInput(): Promise<string>;
  /**
   * First SIGTERM or SIGINT: `drain`, then exit 0, or 1 if it fails. Second: exit at once with 128 + the signal's number.
   * Returns a function that stops listening.
   */
  onTermination(drain: (signal: TerminationSignal) => void | Promise<void>): () => void;
  /**
   * Nothing is lost silently: `report` gets every error nobody caught. Known socket errors and rejected promises are survived;
   * any other thrown error leaves unknown state behind, so after `report` the process exits with 1.
   */
  onUncaught(report: (error: unknown, isFatal: boolean) => void): void;
  /** Writes out what is queued, for a second at most, then ends the process. */
  exit(code: number): Promise<never>;
  usage(): ProcessUsage;
  /** @throws {MeshError} ERR_OPTION_INVALID if it cannot be started */
  spawn(command: string, args: readonly string[], options?: SpawnOptions): Promise<Child>;
  /** Full path of a program in `folders` (tried first) or PATH, or null. */
  findExecutable(name: string, folders?: readonly string[]): string | null;
}
