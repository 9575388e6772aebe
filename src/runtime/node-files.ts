/** `Files` on `node:fs`, the same on Bun, Deno and Node. */
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MeshError } from "../errors.ts";
import { randomHex } from "../random.ts";
import type { Files } from "./files.ts";
import { watchPath } from "./node-watch.ts";
import { describeSystemError, systemCode } from "./socket-errors.ts";

const SIXTEEN_MIB = 16_777_216;

export const nodeFiles: Files = {
  async readText(path, maxBytes = SIXTEEN_MIB) {
    try {
      const { size } = await stat(path);
      if (size > maxBytes)
        throw new MeshError("ERR_OPTION_INVALID", `cannot read ${path}: ${size} bytes are more than ${maxBytes}`);
      return await readFile(path, "utf8");
    } catch (error) {
      if (isMissing(error)) return null;
      throw error instanceof MeshError ? error : failed("read", path, error);
    }
  },

  async writeAtomic(path, text, mode = 0o600) {
    const folder = dirname(path);
    // In the same directory, because a rename across file systems is a copy.
    const temporary = join(folder, `.${basename(path)}.${randomHex(6)}.tmp`);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeSynced(temporary, text, mode);
      await rename(temporary, path);
      await syncDirectory(folder);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw failed("write", path, error);
    }
  },

  async createExclusive(path, text, mode = 0o600) {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeSynced(path, text, mode);
      return true;
    } catch (error) {
      if (systemCode(error) === "EEXIST") return false;
      throw failed("create", path, error);
    }
  },

  async exists(path) {
    return stat(path).then(
      () => true,
      () => false,
    );
  },

  async makeDirectory(path) {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw failed("make directory", path, error);
    }
  },

  async remove(path) {
    try {
      await rm(path, { force: true, recursive: true });
    } catch (error) {
      throw failed("remove", path, error);
    }
  },

  async list(path) {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw failed("list", path, error);
    }
  },

  async ageMs(path) {
    return stat(path).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => null,
    );
  },

  watch: watchPath,
};

/** Exclusive: nobody's file is overwritten and no symbolic link followed. */
async function writeSynced(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(text, "utf8");
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Without this the rename itself may be lost with the power. Some file systems refuse it, which is as good as it gets there. */
async function syncDirectory(path: string): Promise<void> {
  try {
    const folder = await open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {}
}

function isMissing(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

function failed(verb: string, path: string, error: unknown): MeshError {
  return new MeshError("ERR_OPTION_INVALID", `cannot ${verb} ${path}: ${describeSystemError(error)}`, { cause: error });
}
