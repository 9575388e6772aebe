/** From the URL of a store to the store. Each implementation is loaded only when it is asked for. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Random } from "../random.ts";
import type { Files } from "../runtime/files.ts";
import type { Store } from "./store.ts";

export interface OpenStoreDeps {
  readonly mesh: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  /** For `https:`: a fetch that knows the control plane's root and shows who we are. */
  readonly fetch: ((request: Request) => Promise<Response>) | null;
  readonly warn: (message: string) => void;
}

/**
 * Opens `memory`, `file:PATH`, `redis[s]://…` or `https://…`.
 *
 * @throws {MeshError} ERR_OPTION_INVALID for anything else. A store that does not answer is no error: see `isConnected`.
 */
export async function openStore(url: string, deps: OpenStoreDeps): Promise<Store> {
  const { mesh, clock, random, files, fetch, warn } = deps;
  if (url === "memory") return (await import("./store-memory.ts")).memoryStore(clock);
  if (url.startsWith("file:"))
    return (await import("./file-store.ts")).fileStore({ path: filePath(url), mesh, clock, random, files, warn });
  if (/^rediss?:\/\//.test(url))
    return (await import("./redis-store.ts")).redisStore({ url, mesh, clock, random, warn });
  if (url.startsWith("https://") && fetch !== null)
    return (await import("./http-store.ts")).httpStore({ control: url, fetch, clock, random });
  throw new MeshError("ERR_OPTION_INVALID", `"${url.replace(/\/\/[^@/]*@/, "//…@")}" is not the URL of a store`, {
    advice: "A store is memory, file:PATH, redis://HOST:PORT or rediss://HOST:PORT",
  });
}

/** `file:PATH` as people type it, and `file:///PATH` as URLs have it. */
function filePath(url: string): string {
  const path = url.slice("file:".length);
  return path.startsWith("//") ? decodeURIComponent(new URL(url).pathname) : path;
}
