/** Votes and overrides of the fleet breaker in files. */
import type { Clock } from "../clock.ts";
import type { Files } from "../runtime/files.ts";
import { breakerOverride, readVote } from "./breaker-record.ts";
import { parseBounded } from "./envelope.ts";
import type { FilePaths } from "./file-store.ts";
import { isOf } from "./store-memory.ts";
import type { BreakerOverride, BreakerStore, BreakerVote } from "./store.ts";

export function fileBreaker(files: Files, paths: FilePaths, clock: Clock): BreakerStore {
  const pathOf = ({ service, namespace, endpoint, voter }: BreakerVote): string =>
    `${paths.votes}/${namespace}_${service}_${endpoint.replace(/[^A-Za-z0-9.-]/g, "_")}_${voter}.json`;
  const votes = async (): Promise<(readonly [name: string, vote: BreakerVote])[]> => {
    const names = (await files.list(paths.votes)).filter((name) => /^[A-Za-z0-9].*\.json$/.test(name));
    const texts = await Promise.all(names.map((name) => files.readText(`${paths.votes}/${name}`, 4_096)));
    const nowMs = clock.epochMs();
    const live: (readonly [string, BreakerVote])[] = [];
    for (const [index, text] of texts.entries()) {
      const vote = text === null ? null : readVote(text);
      if (vote !== null && vote.expiresAtMs > nowMs) live.push([names[index]!, vote]);
      // Expired ones would pile up: whoever reads them next sweeps.
      else if (vote !== null) await files.remove(`${paths.votes}/${names[index]!}`);
    }
    return live;
  };
  const overrides = async (): Promise<BreakerOverride[]> => {
    const nowMs = clock.epochMs();
    const text = await files.readText(paths.overrides, 1_048_576);
    if (text === null) return [];
    try {
      const entries = parseBounded(text);
      if (!Array.isArray(entries)) return [];
      return entries.flatMap((entry) => {
        const result = breakerOverride.safeParse(entry);
        return result.success && result.data.expiresAtMs > nowMs ? [result.data] : [];
      });
    } catch {
      return [];
    }
  };
  return {
    vote: (vote) => files.writeAtomic(pathOf(vote), JSON.stringify(vote)),
    withdraw: (vote) => files.remove(pathOf(vote)),
    votes: async () => (await votes()).map(([, vote]) => vote),
    async override(override) {
      const others = (await overrides()).filter(
        (each) =>
          each.service !== override.service ||
          each.namespace !== override.namespace ||
          each.endpoint !== override.endpoint,
      );
      await files.writeAtomic(paths.overrides, JSON.stringify([...others, override]));
    },
    async reset(service, namespace, endpoint) {
      for (const [name, vote] of await votes())
        if (isOf(vote, service, namespace, endpoint)) await files.remove(`${paths.votes}/${name}`);
      await files.writeAtomic(
        paths.overrides,
        JSON.stringify((await overrides()).filter((each) => !isOf(each, service, namespace, endpoint))),
      );
    },
    overrides,
  };
}
