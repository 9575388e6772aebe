/** Votes and overrides of the fleet breaker in Redis. Everything expires by itself. */
import type { Clock } from "../clock.ts";
import { readOverride } from "./breaker-record.ts";
import { pairs, type RedisKeys, type RedisLink } from "./redis-link.ts";
import { isOf } from "./store-memory.ts";
import type { BreakerOverride, BreakerStore, BreakerVote } from "./store.ts";

/** Hints are small so that a slow reader is not cut off (R13); what does not fit is replaced by "look". */
const maxHintBytes = 200;

export function redisBreaker(link: RedisLink, keys: RedisKeys, clock: Clock): BreakerStore {
  const overrides = async (): Promise<[string, BreakerOverride][]> =>
    pairs(await link.run("HGETALL", keys.overrides)).flatMap(([field, text]) => {
      const override = readOverride(text);
      return override === null ? [] : [[field, override] as [string, BreakerOverride]];
    });
  return {
    async vote(vote) {
      const place = placeOf(vote);
      const nowMs = clock.epochMs();
      const ttlMs = Math.max(1, Math.ceil(vote.expiresAtMs - nowMs));
      await link.script(
        "vote",
        [keys.breaker(place), keys.breakers],
        [place, vote.voter, vote.expiresAtMs, ttlMs, nowMs, keys.events, hintText("vote", vote)],
      );
    },
    async withdraw(vote) {
      await link.script(
        "withdraw",
        [keys.breaker(placeOf(vote))],
        [vote.voter, keys.events, hintText("withdraw", vote)],
      );
    },
    async votes() {
      const nowMs = clock.epochMs();
      const places = await link.run("ZRANGEBYSCORE", keys.breakers, nowMs, "+inf");
      if (!Array.isArray(places) || places.length === 0) return [];
      const hashes = await link.many(places.map((place) => ["HGETALL", keys.breaker(String(place))] as const));
      return hashes.flatMap((hash, index) => {
        const place = readPlace(String(places[index]));
        if (place === null) return [];
        return pairs(hash)
          .map(([voter, expiry]) => ({ ...place, voter, expiresAtMs: Number(expiry) }))
          .filter(({ expiresAtMs }) => expiresAtMs > nowMs);
      });
    },
    async override(override) {
      const nowMs = clock.epochMs();
      const ended = (await overrides()).filter(([, { expiresAtMs }]) => expiresAtMs <= nowMs).map(([field]) => field);
      await link.many([
        ...(ended.length > 0 ? [["HDEL", keys.overrides, ...ended] as const] : []),
        ["HSET", keys.overrides, placeOf(override), JSON.stringify(override)],
        ["PUBLISH", keys.events, '{"t":"breaker"}'],
      ]);
    },
    async reset(service, namespace, endpoint) {
      const places = await link.run("ZRANGE", keys.breakers, 0, -1);
      const voted = (Array.isArray(places) ? places.map(String) : []).filter((place) => {
        const { service: of, namespace: within, endpoint: at } = readPlace(place) ?? {};
        return of === service && within === namespace && (endpoint === null || at === endpoint);
      });
      const forced = (await overrides())
        .filter(([, override]) => isOf(override, service, namespace, endpoint))
        .map(([field]) => field);
      await link.many([
        ...voted.flatMap((place) => [["DEL", keys.breaker(place)] as const, ["ZREM", keys.breakers, place] as const]),
        ...(forced.length > 0 ? [["HDEL", keys.overrides, ...forced] as const] : []),
        ["PUBLISH", keys.events, '{"t":"breaker"}'],
      ]);
    },
    async overrides() {
      const nowMs = clock.epochMs();
      return (await overrides()).map(([, override]) => override).filter(({ expiresAtMs }) => expiresAtMs > nowMs);
    },
  };
}

/** `namespace/service:host:port`; an override of a whole service ends after the colon. */
const placeOf = ({
  service,
  namespace,
  endpoint,
}: {
  service: string;
  namespace: string;
  endpoint: string | null;
}): string => `${namespace}/${service}:${endpoint ?? ""}`;

function readPlace(place: string): { namespace: string; service: string; endpoint: string } | null {
  const [, namespace, service, endpoint] = /^([^/:]+)\/([^/:]+):(.+)$/.exec(place) ?? [];
  return namespace === undefined || service === undefined || endpoint === undefined
    ? null
    : { namespace, service, endpoint };
}

function hintText(t: "vote" | "withdraw", vote: BreakerVote): string {
  const text = JSON.stringify({ t, ...vote });
  return text.length <= maxHintBytes ? text : '{"t":"breaker"}';
}
