/** One process of the demo: started, waited for, ended by its own pid. */
import { spawn, type ChildProcess } from "node:child_process";
import process from "node:process";
import { MeshError } from "../../errors.ts";

export interface ChildOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** What was said last; enough to explain a failure, bounded for a demo that runs all day. */
const keptLines = 200;

export class Child {
  readonly name: string;
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly #process: ChildProcess;
  readonly #waiting = new Set<() => void>();
  /** Resolves once it has ended, in whichever way. */
  readonly ended: Promise<void>;
  #hasEnded = false;
  #failure: Error | null = null;

  constructor({ name, command, environment }: ChildOptions) {
    this.name = name;
    const [program = "", ...args] = command;
    // A group of its own: Ctrl-C on the terminal is for the demo, which then drains everything in order.
    this.#process = spawn(program, args, { env: environment, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#collect(this.#process.stdout, this.stdout);
    this.#collect(this.#process.stderr, this.stderr);
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.#hasEnded = true;
        this.#wake();
        resolve();
      };
      this.#process.once("error", (error) => {
        this.#failure = error;
        end();
      });
      this.#process.once("exit", end);
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The first line on stdout that `accept` takes. @throws {MeshError} with what it said, if it ends or stays silent */
  async line(accept: (line: string) => boolean, timeoutMs: number): Promise<string> {
    const find = (): string | undefined => this.stdout.find(accept);
    const deadline = AbortSignal.timeout(timeoutMs);
    while (find() === undefined) {
      if (this.#hasEnded || deadline.aborted) throw this.#silence(timeoutMs);
      await this.#change(deadline);
    }
    return find()!;
  }

  /** The ready line of a long-running verb. */
  async ready(timeoutMs = 20_000): Promise<Readonly<Record<string, unknown>>> {
    return JSON.parse(await this.line((line) => line.startsWith('{"event":"ready"'), timeoutMs)) as Record<
      string,
      unknown
    >;
  }

  /** SIGKILL: what a crash looks like to the others. */
  async kill(): Promise<void> {
    this.#signal("SIGKILL");
    await this.ended;
  }

  /** SIGTERM, and SIGKILL for what does not end in time. */
  async stop(timeoutMs = 5_000): Promise<void> {
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), timeoutMs);
    await this.ended;
    clearTimeout(timer);
  }

  // Not ChildProcess.kill(): after it Deno reports a child that drained and exited with 0 as killed.
  #signal(signal: NodeJS.Signals): void {
    if (this.#hasEnded || this.#process.pid === undefined) return;
    try {
      process.kill(this.#process.pid, signal);
    } catch {
      // It ended in this very moment.
    }
  }

  #collect(stream: NodeJS.ReadableStream | null, lines: string[]): void {
    let rest = "";
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
      if (lines.length > keptLines) lines.splice(0, lines.length - keptLines);
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #change(deadline: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        deadline.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      deadline.addEventListener("abort", wake, { once: true });
    });
  }

  #silence(timeoutMs: number): MeshError {
    const why = this.#failure !== null ? this.#failure.message : this.#hasEnded ? "it ended" : `${timeoutMs} ms passed`;
    const said = [...this.stdout.slice(-5), ...this.stderr.slice(-15)].map((line) => `  ${line}`).join("\n");
    return new MeshError("ERR_INTERNAL", `${this.name} did not become ready: ${why}${said === "" ? "" : `\n${said}`}`);
  }
}
