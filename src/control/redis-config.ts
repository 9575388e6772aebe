/** Published versions in Redis. */
import { MeshError } from "../errors.ts";
import { pairs, isText, type RedisKeys, type RedisLink } from "./redis-link.ts";
import { keptHistory, keptVersions } from "./store-memory.ts";
import type { ConfigStore, HistoryEntry, SnapshotPointer, StoredSnapshot } from "./store.ts";

export function redisConfig(link: RedisLink, keys: RedisKeys): ConfigStore {
  const pointer = async (): Promise<SnapshotPointer | null> => {
    const [current, epoch] = await link.many([
      ["GET", keys.current],
      ["HGET", keys.meta, "epoch"],
    ]);
    if (!isText(current)) return null;
    if (!/^[1-9][0-9]{0,15}$/.test(current) || !Number.isSafeInteger(Number(current))) {
      throw new MeshError("ERR_STORE_CORRUPT", `${keys.current} is not a version number`, {
        advice: "Set it to the number of a snapshot that exists.",
      });
    }
    // Without an epoch somebody set this up by hand, and every number is newer than none.
    return { epoch: isText(epoch) ? epoch : "", version: Number(current) };
  };
  const read = async ({ epoch, version }: SnapshotPointer): Promise<StoredSnapshot | null> => {
    const body = await link.run("GET", keys.snapshot(version));
    return isText(body) ? { epoch, version, body } : null;
  };
  return {
    pointer,
    async current() {
      // Twice: twenty versions may have been published in between, and the one we asked for pruned.
      for (let round = 0; round < 2; round++) {
        const newest = await pointer();
        if (newest === null) return null;
        const stored = await read(newest);
        if (stored !== null) return stored;
        if (round === 1)
          throw new MeshError(
            "ERR_STORE_CORRUPT",
            `${keys.current} names version ${newest.version}, which is not there`,
            { advice: "Publish again, or roll back." },
          );
      }
      return null;
    },
    async version(version) {
      const epoch = await link.run("HGET", keys.meta, "epoch");
      return read({ epoch: isText(epoch) ? epoch : "", version });
    },
    async history(limit) {
      const reply = await link.run("XREVRANGE", keys.history, "+", "-", "COUNT", limit);
      return Array.isArray(reply) ? reply.map((entry) => historyEntry(new Map(pairs((entry as unknown[])[1])))) : [];
    },
    async publish({ expectedVersion, next, history, digest }) {
      const hint = JSON.stringify({ t: "config", epoch: next.epoch, version: next.version, digest });
      const pruned = next.version > keptVersions ? keys.snapshot(next.version - keptVersions) : "";
      await link.script(
        "publish",
        [keys.meta, keys.current, keys.snapshot(next.version), keys.history],
        [
          expectedVersion,
          next.version,
          next.epoch,
          next.body,
          pruned,
          keptHistory,
          history.author,
          history.message,
          history.at,
          history.changes,
          keys.events,
          hint,
        ],
      );
    },
  };
}

function historyEntry(fields: ReadonlyMap<string, string>): HistoryEntry {
  return {
    version: Number(fields.get("version")),
    author: fields.get("author") ?? "",
    message: fields.get("message") ?? "",
    at: fields.get("at") ?? "",
    changes: Number(fields.get("changes") ?? 0),
  };
}
