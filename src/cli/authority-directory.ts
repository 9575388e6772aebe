/** The CA's files in a directory of their own: the directory 0700, each file 0600, replaced as a whole. */
import { existsSync } from "node:fs";
import { chmod, mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { AuthorityFiles } from "../identity/authority-files.ts";

export function authorityDirectory(dir: string): AuthorityFiles {
  return {
    async read(name) {
      const path = join(dir, name);
      return existsSync(path) ? await readFile(path, "utf8") : null;
    },
    async write(name, text) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      // mkdir leaves a directory that was there as it was.
      await chmod(dir, 0o700);
      const temporary = join(dir, `${name}.${process.pid}`);
      const file = await open(temporary, "w", 0o600);
      try {
        await file.writeFile(text);
        // A key that is lost in a power cut is lost for good: on disk first, under its name after.
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, join(dir, name));
    },
  };
}
