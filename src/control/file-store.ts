/**
 * The mesh's state in files that several processes of one machine share: for a mesh without a control plane and without
 * Redis. Every file is replaced as a whole; a version number is claimed by creating a file that must not exist.
 */
import { systemClock, type Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { systemRandom, type Random } from "../random.ts";
import type { Files } from "../runtime/files.ts";
import { fileBreaker } from "./file-breaker.ts";
import { fileConfig } from "./file-config.ts";
import { fileRegistry } from "./file-registry.ts";
import { FileWatch } from "./file-watch.ts";
import type { BreakerStore, ConfigStore, Hint, RegistryStore, Store } from "./store.ts";

export interface FileStoreOptions {
  /**
   * A directory, or a file named `*.json`: then that file is the current version, which may be written by hand, and
   * everything else lies in `<path>.d`.
   */
  readonly path: string;
  readonly files: Files;
  /** @default "default" */
  readonly mesh?: string;
  /** @default systemClock */
  readonly clock?: Clock;
  /** @default systemRandom */
  readonly random?: Random;
  readonly warn?: (message: string) => void;
}

/** Where the parts of a store lie. */
export interface FilePaths {
  /** The newest version: `{"epoch", "version", "body"}`, or an envelope as it is. */
  readonly current: string;
  readonly snapshot: (version: number) => string;
  readonly claim: (version: number) => string;
  readonly history: string;
  readonly instances: string;
  readonly votes: string;
  readonly overrides: string;
}

export function fileStore(options: FileStoreOptions): Store {
  return new FileStore(options);
}

class FileStore implements Store {
  readonly kind = "file";
  readonly name: string;
  readonly config: ConfigStore;
  readonly registry: RegistryStore;
  readonly breaker: BreakerStore;
  isConnected = true;
  readonly #watch: FileWatch;
  readonly #warn: (message: string) => void;

  constructor({ path, files, clock = systemClock, random = systemRandom, warn = () => {} }: FileStoreOptions) {
    const trimmed = path.replace(/(.)\/+$/, "$1");
    this.name = `file:${trimmed}`;
    this.#warn = warn;
    const paths = pathsOf(trimmed);
    const checked = this.#checked(files);
    this.config = fileConfig(checked, paths, clock, random);
    this.registry = fileRegistry(checked, paths, clock);
    this.breaker = fileBreaker(checked, paths, clock);
    this.#watch = new FileWatch({ files: checked, paths, config: this.config, registry: this.registry });
  }

  watch(listener: (hint: Hint) => void): () => void {
    return this.#watch.watch(listener);
  }

  async close(): Promise<void> {
    this.#watch.close();
  }

  /** The same files, their failures in the words of the store contract. */
  #checked(files: Files): Files {
    const attempt = async <T>(work: Promise<T>): Promise<T> => {
      try {
        const value = await work;
        this.isConnected = true;
        return value;
      } catch (cause) {
        if (this.isConnected) this.#warn(`${this.name}: ${cause instanceof Error ? cause.message : String(cause)}`);
        this.isConnected = false;
        throw new MeshError(
          "ERR_STORE_UNAVAILABLE",
          `${this.name}: ${cause instanceof Error ? cause.message : String(cause)}`,
          { cause },
        );
      }
    };
    return {
      readText: (path, maxBytes) => attempt(files.readText(path, maxBytes)),
      writeAtomic: (path, text, mode) => attempt(files.writeAtomic(path, text, mode)),
      createExclusive: (path, text, mode) => attempt(files.createExclusive(path, text, mode)),
      exists: (path) => attempt(files.exists(path)),
      makeDirectory: (path) => attempt(files.makeDirectory(path)),
      remove: (path) => attempt(files.remove(path)),
      list: (path) => attempt(files.list(path)),
      ageMs: (path) => attempt(files.ageMs(path)),
      watch: (path, onChange) => files.watch(path, onChange),
    };
  }
}

function pathsOf(path: string): FilePaths {
  const isFile = path.endsWith(".json");
  const dir = isFile ? `${path}.d` : path;
  return {
    current: isFile ? path : `${dir}/current.json`,
    snapshot: (version) => `${dir}/versions/${version}.json`,
    claim: (version) => `${dir}/versions/${version}.claim`,
    history: `${dir}/history.json`,
    instances: `${dir}/instances`,
    votes: `${dir}/votes`,
    overrides: `${dir}/overrides.json`,
  };
}
