/** The connection that listens. It opens with the first listener, and proves every few seconds that it still hears (R13). */
import type { Clock, Timer } from "../clock.ts";
import type { Hint } from "./store.ts";

/** What is used of a client that subscribes. */
export interface SubscriberClient {
  connect(): Promise<unknown>;
  disconnect(reconnect?: boolean): void;
  subscribe(channel: string): Promise<unknown>;
  ping(): Promise<unknown>;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

// A peer that vanished without a word is noticed within two beats and a command's timeout.
const heartbeatMs = 5_000;
// Ours are at most 200 bytes; people who publish by hand may be wordier.
const maxHintChars = 1_024;

export class SubscriptionLink {
  readonly #channel: string;
  readonly #clock: Clock;
  readonly #connect: () => SubscriberClient;
  readonly #listeners = new Set<(hint: Hint) => void>();
  #client: SubscriberClient | null = null;
  #stands = false;
  #beat: Timer | null = null;

  constructor(channel: string, clock: Clock, connect: () => SubscriberClient) {
    this.#channel = channel;
    this.#clock = clock;
    this.#connect = connect;
  }

  watch(listener: (hint: Hint) => void, read: (text: string) => Hint | null): () => void {
    const entry = (hint: Hint): void => listener(hint);
    this.#listeners.add(entry);
    if (this.#client === null) this.#open(read);
    else if (this.#stands) {
      queueMicrotask(() => {
        if (this.#listeners.has(entry)) entry({ t: "resync" });
      });
    }
    return () => void this.#listeners.delete(entry);
  }

  close(): void {
    this.#beat?.cancel();
    this.#listeners.clear();
    this.#client?.disconnect();
  }

  #open(read: (text: string) => Hint | null): void {
    const client = (this.#client = this.#connect());
    client.on("error", () => {});
    client.on("close", () => {
      this.#stands = false;
      this.#beat?.cancel();
    });
    client.on("ready", () => void this.#subscribe(client));
    client.on("message", (_channel: string, text: string) => {
      const hint = text.length > maxHintChars ? null : read(text);
      if (hint !== null) this.#tell(hint);
    });
    client.connect().catch(() => {});
  }

  /** After every (re)connection: whatever was said meanwhile is lost, so everything is to be read again (R1). */
  async #subscribe(client: SubscriberClient): Promise<void> {
    try {
      await client.subscribe(this.#channel);
      this.#stands = true;
      this.#beat = this.#clock.after(heartbeatMs, () => void this.#check(client));
      this.#tell({ t: "resync" });
    } catch {
      client.disconnect(true);
    }
  }

  async #check(client: SubscriberClient): Promise<void> {
    if (!this.#stands) return;
    try {
      await client.ping();
      if (this.#stands) this.#beat = this.#clock.after(heartbeatMs, () => void this.#check(client));
    } catch {
      client.disconnect(true);
    }
  }

  #tell(hint: Hint): void {
    for (const listener of this.#listeners) listener(hint);
  }
}
