/** Finds executables the way a shell does. */
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join, resolve } from "node:path";

/** Full path of `name` in `folders`, else in `searchPath` (the text of PATH); a name with a slash is only checked. Null if none. */
export function findExecutable(name: string, folders: readonly string[], searchPath: string): string | null {
  if (name.includes("/")) return isExecutable(name) ? resolve(name) : null;
  for (const folder of [...folders, ...searchPath.split(delimiter)]) {
    // An empty entry means the current directory (POSIX); nobody means that, and it is how one gets to run the wrong thing.
    if (folder === "" || !isAbsolute(folder)) continue;
    const path = join(folder, name);
    if (isExecutable(path)) return path;
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
