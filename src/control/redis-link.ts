/** The little of a Redis client that the stores use, so that one file alone knows which client it is. */
import { MeshError } from "../errors.ts";

export type RedisArgument = string | number;
export type RedisCommand = readonly [name: string, ...args: RedisArgument[]];

export interface RedisLink {
  /** @throws {MeshError} ERR_STORE_UNAVAILABLE, ERR_STORE_CORRUPT */
  run(...command: RedisCommand): Promise<unknown>;
  /** One round trip. Not atomic. @throws {MeshError} as `run`, if any of them fails */
  many(commands: readonly RedisCommand[]): Promise<readonly unknown[]>;
  /** One of `redis-scripts.ts`, atomic. @throws {MeshError} as `run`; ERR_VERSION_CONFLICT */
  script(name: string, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown>;
}

/** Keys of one mesh. The braces make it one hash slot, so that scripts may touch several keys on a cluster (R21). */
export class RedisKeys {
  readonly #prefix: string;

  constructor(mesh: string) {
    this.#prefix = `fm:{${mesh}}:`;
  }

  get meta(): string {
    return `${this.#prefix}meta`;
  }
  get current(): string {
    return `${this.#prefix}current`;
  }
  get history(): string {
    return `${this.#prefix}history`;
  }
  get events(): string {
    return `${this.#prefix}events`;
  }
  /** Names of the `endpoints` hashes: nothing here scans the key space (R20). */
  get services(): string {
    return `${this.#prefix}services`;
  }
  /** Names of the `breaker` hashes by when their last vote ends. */
  get breakers(): string {
    return `${this.#prefix}breakers`;
  }
  get overrides(): string {
    return `${this.#prefix}overrides`;
  }
  snapshot(version: number): string {
    return `${this.#prefix}snapshot:${version}`;
  }
  instance(id: string): string {
    return `${this.#prefix}instance:${id}`;
  }
  endpoints(service: string): string {
    return `${this.#prefix}endpoints:${service}`;
  }
  breaker(place: string): string {
    return `${this.#prefix}breaker:${place}`;
  }
}

/** An error of the client or of the server, in our words. */
export function redisError(reason: unknown, store: string): MeshError {
  if (reason instanceof MeshError) return reason;
  const text = reason instanceof Error ? reason.message : String(reason);
  const conflict = /CONFLICT (\S*)/.exec(text);
  if (conflict !== null) return new MeshError("ERR_VERSION_CONFLICT", `the current version is ${conflict[1]}`);
  if (/WRONGTYPE/.test(text)) {
    return new MeshError("ERR_STORE_CORRUPT", `${store}: a key of the mesh holds something else`, {
      cause: reason,
      advice: "Give the mesh a database of its own.",
    });
  }
  return new MeshError("ERR_STORE_UNAVAILABLE", `${store}: ${text}`, { cause: reason });
}

export const isText = (value: unknown): value is string => typeof value === "string";

/** The fields of a hash or of a stream entry: a flat list, or the object that the client makes of it. */
export function pairs(reply: unknown): [string, string][] {
  if (!Array.isArray(reply)) {
    return typeof reply === "object" && reply !== null
      ? Object.entries(reply).map(([field, value]) => [field, String(value)])
      : [];
  }
  const found: [string, string][] = [];
  for (let i = 0; i + 1 < reply.length; i += 2) found.push([String(reply[i]), String(reply[i + 1])]);
  return found;
}
