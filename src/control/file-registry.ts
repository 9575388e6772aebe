/** Who is there, in files: one per instance, renewed by its owner. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Files } from "../runtime/files.ts";
import { parseBounded } from "./envelope.ts";
import type { FilePaths } from "./file-store.ts";
import { isInstanceId, readRecord } from "./registry-record.ts";
import { departedMs } from "./store-memory.ts";
import type { InstanceRecord, RegistryStore } from "./store.ts";

interface Entry {
  readonly record: InstanceRecord | null;
  /** Epoch ms: the clocks of one machine are one clock. */
  readonly expiresAtMs: number;
  readonly leftAtMs: number | null;
}

export function fileRegistry(files: Files, { instances: folder }: FilePaths, clock: Clock): RegistryStore {
  const pathOf = (id: string): string => {
    // Callers check it; a path out of here would be somebody else's file.
    if (!isInstanceId(id)) throw new MeshError("ERR_INTERNAL", "An instance id that is none reached the registry");
    return `${folder}/${id}.json`;
  };
  const entries = async (): Promise<(readonly [id: string, entry: Entry])[]> => {
    const names = (await files.list(folder)).filter((name) => /^[A-Za-z0-9][A-Za-z0-9._-]*\.json$/.test(name));
    const texts = await Promise.all(names.map((name) => files.readText(`${folder}/${name}`, 65_536)));
    return texts.flatMap((text, index) => {
      const entry = text === null ? null : readEntry(text);
      return entry === null ? [] : [[names[index]!.slice(0, -5), entry] as const];
    });
  };
  return {
    async register(record, ttlMs) {
      await files.writeAtomic(pathOf(record.id), JSON.stringify({ record, expiresAtMs: clock.epochMs() + ttlMs }));
    },
    async deregister(id) {
      if (await files.exists(pathOf(id)))
        await files.writeAtomic(pathOf(id), JSON.stringify({ leftAtMs: clock.epochMs() }));
    },
    async instances() {
      const nowMs = clock.epochMs();
      return (await entries()).flatMap(([id, { record, expiresAtMs }]) =>
        record !== null && record.id === id && expiresAtMs > nowMs ? [record] : [],
      );
    },
    async departed() {
      const nowMs = clock.epochMs();
      const left: string[] = [];
      for (const [id, { leftAtMs, expiresAtMs }] of await entries()) {
        const endedAtMs = leftAtMs ?? expiresAtMs;
        if (nowMs - endedAtMs > departedMs) await files.remove(pathOf(id));
        else if (leftAtMs !== null) left.push(id);
      }
      return left;
    },
  };
}

function readEntry(text: string): Entry | null {
  try {
    const { record, expiresAtMs, leftAtMs } = parseBounded(text, 65_536) as Record<string, unknown>;
    if (typeof leftAtMs === "number") return { record: null, expiresAtMs: 0, leftAtMs };
    return typeof expiresAtMs === "number" ? { record: readRecord(record), expiresAtMs, leftAtMs: null } : null;
  } catch {
    return null;
  }
}
