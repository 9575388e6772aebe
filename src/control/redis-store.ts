/**
 * The mesh's state in Redis (or Valkey). Two connections: one for commands, which fail fast instead of queueing for an
 * outage (R14), and one that only listens.
 */
import { Redis, type RedisOptions } from "ioredis";
import { systemClock, type Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { systemRandom, type Random } from "../random.ts";
import { readHint } from "./breaker-record.ts";
import { redisBreaker } from "./redis-breaker.ts";
import { redisConfig } from "./redis-config.ts";
import { redisError, RedisKeys, type RedisArgument, type RedisCommand, type RedisLink } from "./redis-link.ts";
import { redisRegistry } from "./redis-registry.ts";
import { redisScripts } from "./redis-scripts.ts";
import { SubscriptionLink } from "./redis-subscription.ts";
import type { BreakerStore, ConfigStore, Hint, RegistryStore, Store } from "./store.ts";

export interface RedisStoreOptions {
  /** `redis[s]://[user:password@]host[:port][/db]` */
  readonly url: string;
  /** @default "default" */
  readonly mesh?: string;
  /** @default systemClock */
  readonly clock?: Clock;
  /** @default systemRandom */
  readonly random?: Random;
  /** Told what an operator should know: keys that may be evicted, an address that does not answer. */
  readonly warn?: (message: string) => void;
}

/** @throws {MeshError} ERR_OPTION_INVALID if the URL is none. Whether anybody answers there shows later: `isConnected`. */
export function redisStore(options: RedisStoreOptions): Store {
  return new RedisStore(options);
}

// Full jitter between almost at once and this: a fleet that lost its Redis must not come back in one wave (R12).
const firstRetryMs = 100;
const longestRetryMs = 5_000;

class RedisStore implements Store, RedisLink {
  readonly kind = "redis";
  readonly name: string;
  readonly config: ConfigStore;
  readonly registry: RegistryStore;
  readonly breaker: BreakerStore;
  readonly #client: Redis;
  readonly #subscription: SubscriptionLink;
  readonly #warn: (message: string) => void;
  /** The first attempt to connect is waited for; every later outage fails at once. */
  #first: Promise<void> | null;
  #isClosed = false;

  constructor({
    url,
    mesh = "default",
    clock = systemClock,
    random = systemRandom,
    warn = () => {},
  }: RedisStoreOptions) {
    const target = parseUrl(url);
    const keys = new RedisKeys(mesh);
    this.name = target.name;
    this.#warn = warn;
    const connect = (): Redis => new Redis(connectionOptions(target.options, random));
    this.#client = connect();
    for (const [name, { keys: numberOfKeys, lua }] of Object.entries(redisScripts))
      this.#client.defineCommand(scriptName(name), { numberOfKeys, lua });
    this.#first = new Promise<void>((resolve) => {
      const settle = (): void => {
        this.#first = null;
        resolve();
      };
      this.#client.once("ready", settle);
      this.#client.once("close", settle);
    });
    this.#client.on("ready", () => void this.#checkEviction());
    // Without a listener an unreachable server would be an uncaught error; every command reports it anyway.
    let last = "";
    this.#client.on("error", (error: Error) => {
      if (error.message !== last) warn(`${this.name}: ${error.message}`);
      last = error.message;
    });
    this.#client.on("ready", () => (last = ""));
    this.#client.connect().catch(() => {});
    this.config = redisConfig(this, keys);
    this.registry = redisRegistry(this, keys);
    this.breaker = redisBreaker(this, keys, clock);
    this.#subscription = new SubscriptionLink(keys.events, clock, connect);
  }

  get isConnected(): boolean {
    return this.#client.status === "ready";
  }

  watch(listener: (hint: Hint) => void): () => void {
    return this.#subscription.watch(listener, readHint);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#subscription.close();
    this.#client.disconnect();
  }

  run(...[name, ...args]: RedisCommand): Promise<unknown> {
    return this.#attempt(() => this.#client.call(name, ...args));
  }

  many(commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
    return this.#attempt(async () => {
      const replies =
        (await this.#client.pipeline(commands.map(([name, ...args]) => [name.toLowerCase(), ...args])).exec()) ?? [];
      return replies.map(([error, value]) => {
        if (error !== null) throw error;
        return value;
      });
    });
  }

  script(name: string, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    return this.#attempt(() => {
      const scripts = this.#client as unknown as Record<string, (...all: RedisArgument[]) => Promise<unknown>>;
      return scripts[scriptName(name)]!(...keys, ...args);
    });
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new MeshError("ERR_STORE_UNAVAILABLE", `${this.name}: closed`);
    if (this.#first !== null) await this.#first;
    try {
      return await work();
    } catch (error) {
      throw redisError(error, this.name);
    }
  }

  /** A cache's eviction policy would drop config (R15). Managed servers may not tell; then nothing is known. */
  async #checkEviction(): Promise<void> {
    try {
      const info = String(await this.#client.call("INFO", "memory"));
      const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? "noeviction";
      const isBounded = !/^maxmemory:0\b/m.test(info);
      if (isBounded && policy !== "noeviction")
        this.#warn(
          `${this.name} evicts keys when memory is full (maxmemory-policy ${policy}): set it to noeviction, or config and leases vanish`,
        );
    } catch {
      // Said when the connection is usable again.
    }
  }
}

/** The client makes methods of scripts: one called `publish` would replace its own. */
const scriptName = (name: string): string => `fetchmesh_${name}`;

function connectionOptions(target: RedisOptions, random: Random): RedisOptions & { readonly replyMapping: "legacy" } {
  return {
    ...target,
    // The same flat arrays from old servers and new ones.
    replyMapping: "legacy",
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 1_000,
    connectTimeout: 2_000,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    disableClientInfo: true,
    retryStrategy: (times) =>
      Math.ceil(random() * Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(times, 10))) + 10,
  };
}

function parseUrl(text: string): { name: string; options: RedisOptions } {
  let url: URL;
  try {
    url = new URL(text);
    if (url.protocol !== "redis:" && url.protocol !== "rediss:") throw new TypeError("not redis:");
    const db = url.pathname.length > 1 ? Number(url.pathname.slice(1)) : 0;
    if (url.hostname === "" || !Number.isInteger(db) || db < 0) throw new TypeError("host or database");
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const options: RedisOptions = { host, port: Number(url.port || 6_379), db };
    if (url.username !== "") options.username = decodeURIComponent(url.username);
    if (url.password !== "") options.password = decodeURIComponent(url.password);
    if (url.protocol === "rediss:") options.tls = { servername: host };
    // Never the whole URL: it ends up in logs (R19).
    return { name: `${url.protocol}//${url.host}${db === 0 ? "" : `/${db}`}`, options };
  } catch {
    throw new MeshError("ERR_OPTION_INVALID", "The address of the Redis store is not a URL", {
      advice: "Write it as redis://[USER:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS.",
    });
  }
}
