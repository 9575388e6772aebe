/** Published versions in files. */
import { MeshError } from "../errors.ts";
import { sleep, type Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import type { Files } from "../runtime/files.ts";
import { maxEnvelopeBytes, parseBounded } from "./envelope.ts";
import type { FilePaths } from "./file-store.ts";
import { keptHistory, keptVersions } from "./store-memory.ts";
import type { ConfigStore, HistoryEntry, StoredSnapshot } from "./store.ts";

/** A writer needs milliseconds; a claim this old is of one that died. */
const staleClaimMs = 10_000;
const maxFileBytes = 2 * maxEnvelopeBytes;

export function fileConfig(files: Files, paths: FilePaths, clock: Clock, random: Random): ConfigStore {
  const read = async (path: string): Promise<StoredSnapshot | null> => {
    const text = await files.readText(path, maxFileBytes);
    return text === null ? null : storedSnapshot(text, path);
  };
  const current = (): Promise<StoredSnapshot | null> => read(paths.current);
  const history = async (): Promise<readonly HistoryEntry[]> => {
    try {
      const entries: unknown = JSON.parse((await files.readText(paths.history)) ?? "[]");
      return Array.isArray(entries) ? (entries as HistoryEntry[]) : [];
    } catch (error) {
      if (error instanceof MeshError) throw error;
      // What was published does not depend on the record of it.
      return [];
    }
  };
  const versionOnDisk = async (): Promise<number> => {
    try {
      return (await current())?.version ?? 0;
    } catch (error) {
      if (error instanceof MeshError && error.code === "ERR_STORE_CORRUPT") return -1;
      throw error;
    }
  };

  return {
    async pointer() {
      const stored = await current();
      return stored === null ? null : { epoch: stored.epoch, version: stored.version };
    },
    current,
    async version(version) {
      const kept = await read(paths.snapshot(version));
      if (kept !== null) return kept;
      // Written by hand, it is nowhere else.
      const newest = await current();
      return newest?.version === version ? newest : null;
    },
    history: async (limit) => (await history()).slice(0, limit),
    async publish({ expectedVersion, next, history: entry }) {
      const conflict = (actual: number): MeshError =>
        new MeshError("ERR_VERSION_CONFLICT", `the current version is ${actual}, not ${expectedVersion}`);
      const before = await versionOnDisk();
      // An unreadable file has no version to compare: whoever publishes replaces it.
      if (before !== expectedVersion && before !== -1) throw conflict(before);
      const claim = paths.claim(next.version);
      const mine = String(random());
      if (!(await files.createExclusive(claim, mine))) {
        await releaseStale(claim, next.version);
        throw conflict(await versionOnDisk());
      }
      // Between the first look and the claim another writer may have come and gone (R4: compare at write time).
      const now = await versionOnDisk();
      if (now !== before) {
        await files.remove(claim);
        throw conflict(now);
      }
      const text = JSON.stringify(next);
      await files.writeAtomic(paths.snapshot(next.version), text);
      await files.writeAtomic(paths.history, JSON.stringify([entry, ...(await history())].slice(0, keptHistory)));
      if ((await files.readText(claim)) !== mine) throw conflict(await versionOnDisk());
      await files.writeAtomic(paths.current, text);
      const old = next.version - keptVersions;
      if (old > 0) await Promise.all([files.remove(paths.snapshot(old)), files.remove(paths.claim(old))]);
    },
  };

  /** A claim that led to nothing would block its number for ever. */
  async function releaseStale(claim: string, version: number): Promise<void> {
    const ageMs = await files.ageMs(claim);
    const reached = await versionOnDisk();
    if (ageMs !== null && ageMs > staleClaimMs && reached < version) await files.remove(claim);
    // The winner is writing; asking again at once would only slow it down.
    else await sleep(clock, 2 + 8 * random());
  }
}

/** `{"epoch","version","body"}` as written here, or an envelope as people write it. */
function storedSnapshot(text: string, path: string): StoredSnapshot {
  const fields = parseBounded(text, maxFileBytes);
  if (typeof fields === "object" && fields !== null && !Array.isArray(fields)) {
    const { epoch = "", version, body } = fields as Record<string, unknown>;
    if (typeof epoch === "string" && Number.isSafeInteger(version) && (version as number) > 0) {
      return { epoch, version: version as number, body: typeof body === "string" ? body : text };
    }
  }
  throw new MeshError("ERR_STORE_CORRUPT", `${path} has no usable "epoch" and "version"`, {
    advice: "Write an object with epoch, version (a whole number, higher than before) and documents.",
  });
}
