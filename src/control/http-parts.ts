/** The three parts of a store, each call of theirs as one request to the control API. */
import * as z from "zod/mini";
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { breakerOverride, breakerVote } from "./breaker-record.ts";
import type { HttpCall } from "./http-store.ts";
import { readRecord } from "./registry-record.ts";
import type {
  BreakerOverride,
  BreakerStore,
  BreakerVote,
  ConfigStore,
  HistoryEntry,
  RegistryStore,
  SnapshotPointer,
  StoredSnapshot,
} from "./store.ts";

const pointerReply = z.nullable(z.object({ epoch: z.string(), version: z.int().check(z.gte(1)) }));
const snapshotReply = z.object({ epoch: z.string(), version: z.int().check(z.gte(1)), body: z.string() });
const historyReply = z.object({
  versions: z.array(
    z.object({ version: z.int(), author: z.string(), message: z.string(), at: z.string(), changes: z.int() }),
  ),
});
const instancesReply = z.object({ instances: z.array(z.unknown()), departed: z.array(z.string()) });
const breakersReply = z.object({ votes: z.array(z.unknown()), overrides: z.array(z.unknown()) });

export function httpConfig(call: HttpCall): ConfigStore {
  let known: { readonly etag: string; readonly stored: StoredSnapshot } | null = null;
  return {
    pointer: async (): Promise<SnapshotPointer | null> => read(pointerReply, (await call("GET", "/v1/pointer")).body),
    async current() {
      const { status, etag, body } = await call(
        "GET",
        "/v1/snapshot",
        undefined,
        known === null ? {} : { "if-none-match": known.etag },
      );
      if (status === 304 && known !== null) return known.stored;
      if (status === 204) return null;
      const stored = read(snapshotReply, body);
      known = etag === null ? null : { etag, stored };
      return stored;
    },
    async version(version) {
      try {
        return read(snapshotReply, (await call("GET", `/v1/snapshot/${version}`)).body);
      } catch (error) {
        if (error instanceof MeshError && error.code === "ERR_RESOURCE_NOT_FOUND") return null;
        throw error;
      }
    },
    history: async (limit): Promise<readonly HistoryEntry[]> =>
      read(historyReply, (await call("GET", `/v1/history?limit=${limit}`)).body).versions,
    async publish(request) {
      await call("POST", "/v1/publish", request);
    },
  };
}

export function httpRegistry(call: HttpCall): RegistryStore {
  let departed: readonly string[] = [];
  return {
    async register(record, ttlMs) {
      await call("PUT", `/v1/instances/${encodeURIComponent(record.id)}`, { record, ttlMs });
    },
    async deregister(id, service, namespace) {
      await call(
        "DELETE",
        `/v1/instances/${encodeURIComponent(id)}?${new URLSearchParams({ service, namespace }).toString()}`,
      );
    },
    async instances() {
      const reply = read(instancesReply, (await call("GET", "/v1/instances")).body);
      ({ departed } = reply);
      return reply.instances.flatMap((record) => readRecord(record) ?? []);
    },
    // They came with the last listing, which is what made the caller ask.
    departed: async () => departed,
  };
}

export function httpBreaker(call: HttpCall, clock: Clock): BreakerStore {
  let reading: Promise<{ votes: readonly BreakerVote[]; overrides: readonly BreakerOverride[] }> | null = null;
  /** Both lists are asked for together and come in one reply. */
  const readAll = () =>
    (reading ??= call("GET", "/v1/breakers")
      .then(({ body }) => {
        const { votes, overrides } = read(breakersReply, body);
        return {
          votes: votes.flatMap((vote) => accept(breakerVote, vote)),
          overrides: overrides.flatMap((override) => accept(breakerOverride, override)),
        };
      })
      .finally(() => (reading = null)));
  return {
    async vote(vote) {
      await call("POST", "/v1/breakers/vote", vote);
    },
    async withdraw(vote) {
      await call("POST", "/v1/breakers/withdraw", vote);
    },
    votes: async () => (await readAll()).votes,
    async override({ expiresAtMs, ...place }) {
      // How long, not until when: the clocks of two machines differ.
      await call("POST", "/v1/breakers/override", { ...place, forMs: Math.max(1, expiresAtMs - clock.epochMs()) });
    },
    async reset(service, namespace, endpoint) {
      await call("POST", "/v1/breakers/reset", { service, namespace, endpoint, ordersOnly: true });
    },
    overrides: async () => (await readAll()).overrides,
  };
}

function read<T>(schema: z.ZodMiniType<T>, body: unknown): T {
  const result = z.safeParse(schema, body);
  if (result.success) return result.data;
  throw new MeshError(
    "ERR_STORE_CORRUPT",
    "the control plane's reply is not what this version of fetchmesh understands",
    { cause: result.error },
  );
}

function accept<T>(schema: z.ZodMiniType<T>, value: unknown): T[] {
  const result = z.safeParse(schema, value);
  return result.success ? [result.data] : [];
}
