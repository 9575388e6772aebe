/** Versions of runtimes: three numbers and nothing else. */

/** True if `version` is before `than`; what follows the third number ("-canary.1") does not count. */
export function isOlder(version: string, than: string): boolean {
  const [left, right] = [numbersOf(version), numbersOf(than)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

function numbersOf(version: string): readonly number[] {
  return version.split(".", 3).map((part) => Number.parseInt(part, 10) || 0);
}
