/** The process around the mesh: what it says, what it is, what it uses. One implementation serves Bun, Deno and Node. */

export interface ProcessUsage {
  /** User and system time since start. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Since the process started. */
  readonly uptimeSeconds: number;
}

export interface ProcessControl {
  readonly pid: number;
  readonly hostname: string;
  /** Queues lines for stderr; never blocks, never throws. A reader that stalls costs lines, not memory: see `linesDropped`. */
  writeError(text: string): void;
  /** Lines given up so far because nobody read them. */
  readonly linesDropped: number;
  /** Resolves when everything queued is written, or lost; at the latest after a second, for a reader that does not read. */
  flushed(): Promise<void>;
  /**
   * Nothing is lost silently: `report` gets every error nobody caught. Known socket errors and rejected promises are survived;
   * any other thrown error leaves unknown state behind, so after `report` the process exits with 1.
   */
  onUncaught(report: (error: unknown, isFatal: boolean) => void): void;
  usage(): ProcessUsage;
}
