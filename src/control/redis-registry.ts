/** Who is there, in Redis: a hash with a TTL per instance, and a hash per service that lists its endpoints. */
import { isText, pairs, type RedisKeys, type RedisLink } from "./redis-link.ts";
import { readRecordText, visibleText } from "./registry-record.ts";
import { serviceKey } from "./snapshot.ts";
import { departedMs } from "./store-memory.ts";
import type { InstanceRecord, RegistryStore } from "./store.ts";

export function redisRegistry(link: RedisLink, keys: RedisKeys): RegistryStore {
  /** Every service's endpoints hash, as pairs of instance id and JSON. */
  const listed = async (): Promise<[string, string][]> => {
    const services = await link.run("SMEMBERS", keys.services);
    if (!Array.isArray(services) || services.length === 0) return [];
    const hashes = await link.many(services.map((service) => ["HGETALL", keys.endpoints(String(service))] as const));
    return hashes.flatMap(pairs);
  };
  return {
    async register(record, ttlMs) {
      const {
        id,
        service,
        namespace,
        address,
        addressH2,
        zone,
        weight,
        runtime,
        appliedEpoch,
        appliedVersion,
        state,
        reason,
      } = record;
      const key = serviceKey(namespace, service);
      const endpoint = JSON.stringify({ address, addressH2, weight, zone });
      // For people with redis-cli; readers take `record`.
      const shown = [
        "service",
        service,
        "namespace",
        namespace,
        "address",
        address,
        "zone",
        zone ?? "",
        "runtime",
        runtime,
        "applied",
        `${appliedEpoch}.${appliedVersion}`,
        "state",
        state,
        "reason",
        reason ?? "",
      ];
      await link.script(
        "register",
        [keys.instance(id), keys.endpoints(key), keys.services],
        [
          id,
          ttlMs,
          JSON.stringify(record),
          visibleText(record),
          endpoint,
          departedMs,
          key,
          keys.events,
          hintFor(service, namespace),
          ...shown,
        ],
      );
    },
    async deregister(id, service, namespace) {
      await link.script(
        "deregister",
        [keys.instance(id), keys.endpoints(serviceKey(namespace, service))],
        [id, departedMs, keys.events, hintFor(service, namespace)],
      );
    },
    async instances() {
      const ids = (await listed()).filter(([, entry]) => !isLeft(entry)).map(([id]) => id);
      if (ids.length === 0) return [];
      // The TTL of the instance's own key decides, not the expiry beside its address.
      const records = await link.many(ids.map((id) => ["HGET", keys.instance(id), "record"] as const));
      return records.flatMap((text, index): InstanceRecord[] => {
        const record = isText(text) ? readRecordText(text) : null;
        return record !== null && record.id === ids[index] ? [record] : [];
      });
    },
    async departed() {
      return (await listed()).filter(([, entry]) => isLeft(entry)).map(([id]) => id);
    },
  };
}

const hintFor = (service: string, namespace: string): string => JSON.stringify({ t: "endpoints", service, namespace });
const isLeft = (entry: string): boolean => entry.startsWith('{"left":');
