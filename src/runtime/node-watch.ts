/**
 * Watching a path so that nothing is missed: the system's notifications make it fast, a look every 250 ms makes it true.
 *
 * Notifications alone are not enough: they differ between the three runtimes, get lost on a rename of the watched file, do
 * not follow symbolic links (how Kubernetes swaps secrets) and do not exist on some network file systems.
 */
import { watch, type FSWatcher } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

const POLL_MS = 250;

/** See `Files.watch`. */
export function watchPath(path: string, onChange: () => void): () => void {
  let known: string | null = null;
  let isLooking = false;
  let isStale = false;
  let isStopped = false;

  const look = async (): Promise<void> => {
    // A change during a look may be missed by it: look again.
    if (isLooking) {
      isStale = true;
      return;
    }
    isLooking = true;
    isStale = false;
    const now = await signatureOf(path);
    isLooking = false;
    if (isStopped) return;
    const isChanged = known !== null && now !== known;
    known = now;
    if (isChanged) onChange();
    if (isStale) lookSoon();
  };
  const lookSoon = (): void => void look();

  const timer = setInterval(lookSoon, POLL_MS);
  timer.unref();
  const watchers = [notifications(path, lookSoon), notifications(dirname(path), lookSoon)];
  lookSoon();
  return () => {
    isStopped = true;
    clearInterval(timer);
    for (const watcher of watchers) watcher?.close();
  };
}

function notifications(path: string, notify: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, { persistent: false }, notify);
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return null;
  }
}

/** Changes whenever the file, or a file in the directory, does. Inode: a file replaced within one tick of the clock is another. */
async function signatureOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino, mode } = await stat(path);
    const own = `${ino}:${size}:${mtimeMs}`;
    // 0o040000 is a directory (POSIX S_IFDIR).
    if ((mode & 0o170000) !== 0o040000) return own;
    const names = (await readdir(path)).sort();
    const parts = await Promise.all(names.map(async (name) => `${name}=${await signatureOfFile(join(path, name))}`));
    return parts.join("\n");
  } catch {
    return "missing";
  }
}

async function signatureOfFile(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${ino}:${size}:${mtimeMs}`;
  } catch {
    return "missing";
  }
}
