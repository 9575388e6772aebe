/**
 * A store that lost everything gets it back from the control plane (I6): under a new epoch, so that no member takes it for
 * older than what it runs, and with the next number, so that nobody sees numbers go back.
 */
import { MeshError } from "../errors.ts";
import type { Random } from "../random.ts";
import { encodeEnvelope, sealEnvelope, type Envelope } from "./envelope.ts";
import { startLooking } from "./look.ts";
import { readCurrent, type Publisher } from "./publish.ts";
import { newEpoch } from "./version.ts";

export interface KeepSeededOptions {
  readonly publisher: Publisher;
  readonly random: Random;
  readonly onReseeded: (version: number) => void;
  /** @default 10000 */
  readonly pollMs?: number;
}

/** Remembers the newest version that could be read and publishes it again if the store has none any more. */
export function keepSeeded(options: KeepSeededOptions): { look(): Promise<void>; close(): void } {
  const { publisher, random, onReseeded, pollMs = 10_000 } = options;
  const { store, clock, mesh, sign } = publisher;
  let known: Envelope | null = null;

  const loop = startLooking(clock, random, pollMs, async () => {
    try {
      const pointer = await store.config.pointer();
      if (pointer === null) {
        if (known !== null) known = await reseed(known);
      } else if (pointer.epoch !== known?.epoch || pointer.version !== known.version)
        known = await readCurrent(publisher);
    } catch {
      // Away or garbage: what is known stays known, and the next look comes.
    }
  });
  const unwatch = store.watch((hint) => {
    if (hint.t === "config" || hint.t === "resync") loop.nudge();
  });
  return {
    look: () => loop.look(),
    close() {
      unwatch();
      loop.stop();
    },
  };

  async function reseed(lost: Envelope): Promise<Envelope> {
    const epoch = newEpoch(clock.epochMs(), lost.epoch);
    const next = await sealEnvelope(mesh, epoch, lost.version + 1, lost.documents);
    const text = encodeEnvelope(next);
    const at = new Date(clock.epochMs()).toISOString();
    const history = {
      version: next.version,
      author: "control",
      message: "published again: the store had lost it",
      at,
      changes: next.documents.length,
    };
    try {
      await store.config.publish({
        expectedVersion: 0,
        next: { epoch, version: next.version, body: (await sign?.(text)) ?? text },
        history,
        digest: next.digest,
      });
    } catch (error) {
      // Another control plane was faster: its version is read at the next look.
      if (error instanceof MeshError && error.code === "ERR_VERSION_CONFLICT") return lost;
      throw error;
    }
    onReseeded(next.version);
    return next;
  }
}
