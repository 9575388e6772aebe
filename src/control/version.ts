/**
 * Order among published versions: by epoch, then by number. A store that was wiped and seeded again starts a new epoch, so
 * that its numbers cannot be mistaken for old ones; a store restored from an old backup shows an old pair and is refused
 * (R4). Epochs are UUIDv7, whose text order is their order in time.
 */
import type { SnapshotPointer } from "./store.ts";

export function compareVersions(a: SnapshotPointer, b: SnapshotPointer): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  return a.version - b.version;
}

/**
 * A new epoch: UUIDv7 of `epochMs`, later than `after` even if the clock went back.
 *
 * @see RFC 9562 §5.7
 */
export function newEpoch(epochMs: number, after = ""): string {
  const floorMs = /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(after)
    ? Number.parseInt(after.slice(0, 8) + after.slice(9, 13), 16) + 1
    : 0;
  const time = Math.max(Math.floor(epochMs), floorMs).toString(16).padStart(12, "0");
  const chance = Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
  const variant = ((Number.parseInt(chance[3]!, 16) & 3) | 8).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${chance.slice(0, 3)}-${variant}${chance.slice(4, 7)}-${chance.slice(7, 19)}`;
}
