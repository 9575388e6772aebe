/** Files as the rest of the mesh sees them: whole, small, replaced in one step, watched. Injected, so that nobody else knows where. */

export interface Files {
  /**
   * Text of a file, or null if there is none.
   *
   * @throws {MeshError} ERR_OPTION_INVALID if it exists and cannot be read, or is larger than `maxBytes` (@default 16 MiB)
   */
  readText(path: string, maxBytes?: number): Promise<string | null>;
  /**
   * Replaces the file in one step: a reader sees the old text or the new one, also after a power cut (fsync, then rename).
   * Makes missing directories (0700).
   *
   * @default mode 0o600
   */
  writeAtomic(path: string, text: string, mode?: number): Promise<void>;
  /** Creates the file only if there is none: false if there is. For locks and things that must be unique. */
  createExclusive(path: string, text: string, mode?: number): Promise<boolean>;
  exists(path: string): Promise<boolean>;
  /** With its parents, mode 0700; no error if it is there. */
  makeDirectory(path: string): Promise<void>;
  /** A file, or a directory with all that is in it. No error if it is not there. */
  remove(path: string): Promise<void>;
  /** Names in a directory, sorted; empty if there is no such directory. */
  list(path: string): Promise<readonly string[]>;
  /** Age of the last change in ms by the wall clock, or null if there is no such file. */
  ageMs(path: string): Promise<number | null>;
  /**
   * Calls `onChange` after a file, or any file directly in a directory, changed, appeared or vanished; through symbolic links
   * too. Never for the state found at the start. Notices within 250 ms where the system sends no notification. Returns `stop`.
   */
  watch(path: string, onChange: () => void): () => void;
}
