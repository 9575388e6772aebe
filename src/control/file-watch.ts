/** Changes of files as hints. A file says only that it changed; what it meant is found by comparing. */
import type { Files } from "../runtime/files.ts";
import type { FilePaths } from "./file-store.ts";
import { visibleText } from "./registry-record.ts";
import type { ConfigStore, Hint, InstanceRecord, RegistryStore } from "./store.ts";

export interface FileWatchDeps {
  readonly files: Files;
  readonly paths: FilePaths;
  readonly config: ConfigStore;
  readonly registry: RegistryStore;
}

export class FileWatch {
  readonly #deps: FileWatchDeps;
  readonly #listeners = new Set<(hint: Hint) => void>();
  #stops: (() => void)[] = [];
  #isOpen = false;
  #stands = false;
  #known = new Map<string, InstanceRecord>();
  #isReading = false;
  #isDirty = false;

  constructor(deps: FileWatchDeps) {
    this.#deps = deps;
  }

  watch(listener: (hint: Hint) => void): () => void {
    const entry = (hint: Hint): void => listener(hint);
    this.#listeners.add(entry);
    if (!this.#isOpen) {
      this.#isOpen = true;
      void this.#open();
    } else if (this.#stands) {
      queueMicrotask(() => {
        if (this.#listeners.has(entry)) entry({ t: "resync" });
      });
    }
    return () => void this.#listeners.delete(entry);
  }

  close(): void {
    this.#isOpen = false;
    for (const stop of this.#stops) stop();
    this.#stops = [];
    this.#listeners.clear();
  }

  async #open(): Promise<void> {
    const { files, paths } = this.#deps;
    // A directory that is not there cannot be watched on every system. If it cannot be made, readers poll.
    await Promise.all([paths.instances, paths.votes].map((path) => files.makeDirectory(path).catch(() => {})));
    if (!this.#isOpen) return;
    this.#stops = [
      files.watch(paths.current, () => void this.#configChanged()),
      files.watch(paths.instances, () => this.#instancesChanged()),
      files.watch(paths.votes, () => this.#tell({ t: "breaker" })),
      files.watch(paths.overrides, () => this.#tell({ t: "breaker" })),
    ];
    await this.#readInstances();
    this.#stands = true;
    this.#tell({ t: "resync" });
  }

  async #configChanged(): Promise<void> {
    try {
      const pointer = await this.#deps.config.pointer();
      if (pointer !== null) this.#tell({ t: "config", ...pointer, digest: "" });
    } catch {
      // Readers find out what is wrong with it themselves, and say so.
      this.#tell({ t: "resync" });
    }
  }

  /** Every heartbeat of every instance changes a file here: read once for all that came meanwhile. */
  #instancesChanged(): void {
    this.#isDirty = true;
    if (!this.#isReading) void this.#readUntilClean();
  }

  async #readUntilClean(): Promise<void> {
    this.#isReading = true;
    while (this.#isDirty && this.#isOpen) {
      this.#isDirty = false;
      await this.#readInstances();
    }
    this.#isReading = false;
  }

  async #readInstances(): Promise<void> {
    let records: readonly InstanceRecord[];
    try {
      records = await this.#deps.registry.instances();
    } catch {
      return;
    }
    const next = new Map(records.map((record) => [record.id, record]));
    const changed = new Map<string, InstanceRecord>();
    for (const [id, record] of next) {
      const before = this.#known.get(id);
      if (before === undefined || visibleText(before) !== visibleText(record))
        changed.set(`${record.namespace}/${record.service}`, record);
    }
    for (const [id, record] of this.#known)
      if (!next.has(id)) changed.set(`${record.namespace}/${record.service}`, record);
    this.#known = next;
    for (const { service, namespace } of changed.values()) this.#tell({ t: "endpoints", service, namespace });
  }

  #tell(hint: Hint): void {
    for (const listener of this.#listeners) listener(hint);
  }
}
