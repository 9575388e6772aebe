/** The connections of one listener: counted, drained together, cut together. */
import type { Clock } from "../clock.ts";
import type { MeshError } from "../errors.ts";
import type { ServerConnection } from "./server-options.ts";

export class OpenConnections {
  readonly #clock: Clock;
  readonly #open = new Set<ServerConnection>();
  #emptied: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#open.size;
  }

  add(connection: ServerConnection): void {
    this.#open.add(connection);
  }

  delete(connection: ServerConnection): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) this.#emptied?.();
  }

  /** Lets what is in flight finish until `timeoutMs`, then cuts the rest with `reason`. */
  async drain(timeoutMs: number, reason: MeshError): Promise<void> {
    for (const connection of this.#open) connection.drain();
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.after(timeoutMs, resolve);
        this.#emptied = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    this.cut(reason);
  }

  cut(reason: MeshError): void {
    for (const connection of this.#open) connection.destroy(reason);
  }
}
