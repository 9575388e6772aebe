/** The connections of one listener: counted, drained together, cut together. */
import type { Clock } from "../clock.ts";
import type { MeshError } from "../errors.ts";
import type { Listener } from "../runtime/contract.ts";
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

  /** The two ways in which the listener these came from ends. */
  endings(listener: Listener, reason: MeshError): { drain(timeoutMs: number): Promise<void>; close(): Promise<void> } {
    return {
      drain: async (timeoutMs) => {
        const closed = listener.close();
        await this.drain(timeoutMs, reason);
        await closed;
      },
      close: async () => {
        const closed = listener.close();
        this.cut(reason);
        await closed;
      },
    };
  }

  cut(reason: MeshError): void {
    for (const connection of this.#open) connection.destroy(reason);
  }
}
