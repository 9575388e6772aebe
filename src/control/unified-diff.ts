/** Unified diffs of short texts, for people and for `patch`. */

const contextLines = 3;
/** Beyond this a table of every line against every line is too much: the whole text is shown as replaced. */
const maxLines = 2_000;

interface Line {
  readonly sign: " " | "-" | "+";
  readonly text: string;
}

/** Empty if both are equal. Texts end with a newline each. */
export function unifiedDiff(name: string, before: string, after: string): string {
  if (before === after) return "";
  const lines = compare(linesOf(before), linesOf(after));
  const head = [`--- ${before === "" ? "/dev/null" : `a/${name}`}`, `+++ ${after === "" ? "/dev/null" : `b/${name}`}`];
  return `${[...head, ...hunks(lines)].join("\n")}\n`;
}

const linesOf = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

/** Longest common subsequence, by dynamic programming over the part that differs. */
function compare(a: readonly string[], b: readonly string[]): Line[] {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--;
    endB--;
  }
  const middle = compareMiddle(a.slice(start, endA), b.slice(start, endB));
  const same = (texts: readonly string[]): Line[] => texts.map((text) => ({ sign: " ", text }));
  return [...same(a.slice(0, start)), ...middle, ...same(a.slice(endA))];
}

function compareMiddle(a: readonly string[], b: readonly string[]): Line[] {
  const removed = (text: string): Line => ({ sign: "-", text });
  const added = (text: string): Line => ({ sign: "+", text });
  if (a.length > maxLines || b.length > maxLines) return [...a.map(removed), ...b.map(added)];
  // common[i][j]: length of the longest common subsequence of a from i and b from j.
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ sign: " ", text: a[i]! });
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && common[i + 1]![j]! >= common[i]![j + 1]!))
      lines.push(removed(a[i++]!));
    else lines.push(added(b[j++]!));
  }
  return lines;
}

function hunks(lines: readonly Line[]): string[] {
  const output: string[] = [];
  let at = 0;
  let lineA = 1;
  let lineB = 1;
  const advance = (until: number): void => {
    for (; at < until; at++) {
      if (lines[at]!.sign !== "+") lineA++;
      if (lines[at]!.sign !== "-") lineB++;
    }
  };
  for (let next = nextChange(lines, 0); next < lines.length; next = nextChange(lines, at)) {
    advance(Math.max(at, next - contextLines));
    let last = next;
    for (
      let change = next;
      change < lines.length && change - last <= 2 * contextLines;
      change = nextChange(lines, change + 1)
    )
      last = change;
    const body = lines.slice(at, Math.min(lines.length, last + contextLines + 1));
    const countA = body.filter(({ sign }) => sign !== "+").length;
    const countB = body.filter(({ sign }) => sign !== "-").length;
    // An empty side is counted from the line before it (POSIX diff -u).
    output.push(`@@ -${countA === 0 ? lineA - 1 : lineA},${countA} +${countB === 0 ? lineB - 1 : lineB},${countB} @@`);
    for (const { sign, text } of body) output.push(sign + text);
    advance(at + body.length);
  }
  return output;
}

function nextChange(lines: readonly Line[], from: number): number {
  let at = from;
  while (at < lines.length && lines[at]!.sign === " ") at++;
  return at;
}
