/** Remembers which one-time tokens were used, until they would have expired anyway. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";

export interface TokenLedger {
  /**
   * True for the first caller with this id, false for every other. Atomic: of any number at once, one gets true.
   *
   * @throws {MeshError} ERR_TOKEN_REFUSED if it cannot be remembered: then nobody may use it
   */
  consume(tokenId: string, expiresAtMs: number): Promise<boolean>;
}

/** Where a ledger outlives its process. `save` resolves when the text is safe. */
export interface LedgerFile {
  load(): Promise<string | null>;
  save(text: string): Promise<void>;
}

export interface LedgerOptions {
  readonly clock: Clock;
  /** Absent: forgotten with the process, and so must be the key that signs tokens. */
  readonly file?: LedgerFile;
  /** Used tokens that have not expired. More are refused, as forgetting one would let it be used again. @default 10000 */
  readonly maxEntries?: number;
}

export async function openTokenLedger(options: LedgerOptions): Promise<TokenLedger> {
  const { clock, file, maxEntries = 10_000 } = options;
  const used = new Map<string, number>(file === undefined ? [] : parse(await file.load()));
  let saved: Promise<void> = Promise.resolve();

  const forgetExpired = (): void => {
    const nowMs = clock.epochMs();
    for (const [id, expiresAtMs] of used) if (expiresAtMs < nowMs) used.delete(id);
  };

  return {
    async consume(tokenId, expiresAtMs) {
      if (used.has(tokenId)) return false;
      forgetExpired();
      if (used.size >= maxEntries) throw unavailable("too many tokens were used lately");
      // Before the first await: of two callers in the same tick, only one gets here.
      used.set(tokenId, expiresAtMs);
      if (file === undefined) return true;
      // Writes follow one another, each with everything known when it starts. A use counts once it is on disk.
      saved = saved.catch(() => undefined).then(() => file.save(JSON.stringify([...used])));
      try {
        await saved;
      } catch (cause) {
        throw unavailable("its use could not be recorded", cause);
      }
      return true;
    },
  };
}

function parse(text: string | null): [string, number][] {
  if (text === null) return [];
  try {
    const entries = JSON.parse(text) as unknown;
    const isEntry = (entry: unknown): entry is [string, number] =>
      Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "number";
    if (Array.isArray(entries) && entries.every(isEntry)) return entries;
  } catch {
    // Falls through: unreadable for whichever reason.
  }
  // Starting empty would make every used token good again.
  throw new MeshError("ERR_OPTION_INVALID", "The list of used join tokens is damaged", {
    advice:
      "Restore it from a backup, or remove it together with token.key: tokens handed out before will then be refused.",
  });
}

function unavailable(why: string, cause?: unknown): MeshError {
  return new MeshError("ERR_TOKEN_REFUSED", `The token cannot be used now: ${why}`, {
    advice: "Try again in a while.",
    ...(cause !== undefined && { cause }),
  });
}
