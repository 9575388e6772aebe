/** The field lines of a head that arrived: looked up and copied in the text they came in, never turned into a map. */
import type { HeaderEdits } from "../headers.ts";
import { equalsName, tokenBytes } from "./chars.ts";
import { CONTENT_LENGTH, FIRST_HOP, HOST } from "./fields.ts";
import { STRIDE, type RawHead } from "./head-parser.ts";

/** Lines left out of the copy under way: one flag per line, all cleared again behind the copy. */
let dropped = new Uint8Array(256);

export class HeadLines {
  readonly raw: RawHead;

  constructor(raw: RawHead) {
    this.raw = raw;
  }

  /** True if a field of this kind occurs. */
  has(kind: number): boolean {
    return (this.raw.seen & (1 << kind)) !== 0;
  }

  get(name: string): string | null {
    const { text, fields, fieldCount } = this.raw;
    let joined: string | null = null;
    for (let n = 0, row = 0; n < fieldCount; n++, row += STRIDE) {
      const from = fields[row]!;
      if (fields[row + 1]! - from !== name.length || !equalsName(text, from, name)) continue;
      const value = text.slice(fields[row + 2], fields[row + 3]);
      joined = joined === null ? value : `${joined}, ${value}`;
    }
    return joined;
  }

  getAll(name: string): readonly string[] {
    const { text, fields, fieldCount } = this.raw;
    const values: string[] = [];
    for (let n = 0, row = 0; n < fieldCount; n++, row += STRIDE) {
      const from = fields[row]!;
      if (fields[row + 1]! - from === name.length && equalsName(text, from, name))
        values.push(text.slice(fields[row + 2], fields[row + 3]));
    }
    return values;
  }

  names(mayMatter?: (first: number, third: number) => boolean): readonly string[] {
    const { text, fields, fieldCount } = this.raw;
    const names: string[] = [];
    // One look at the whole head spares one at each name.
    const isSelective = mayMatter !== undefined && !text.includes("_");
    for (let n = 0, row = 0; n < fieldCount; n++, row += STRIDE) {
      const from = fields[row]!;
      if (isSelective && !mayMatter(tokenBytes[text.charCodeAt(from)]!, tokenBytes[text.charCodeAt(from + 2)]!))
        continue;
      names.push(text.slice(from, fields[row + 1]).toLowerCase());
    }
    return names;
  }

  /** The value of the first line of a kind, or null. */
  ofKind(kind: number): string | null {
    if (!this.has(kind)) return null;
    const { text, fields, fieldCount } = this.raw;
    for (let n = 0, row = 0; n < fieldCount; n++, row += STRIDE) {
      if (fields[row + 4] === kind) return text.slice(fields[row + 2], fields[row + 3]);
    }
    return null;
  }

  countOfKind(kind: number): number {
    if (!this.has(kind)) return 0;
    const { fields, fieldCount } = this.raw;
    let count = 0;
    for (let n = 0, row = 4; n < fieldCount; n++, row += STRIDE) if (fields[row] === kind) count++;
    return count;
  }

  /**
   * The lines as they came, each with its CRLF, without those that end at this hop, those `Connection` names, those the edits
   * remove and those of `dropKind`. Runs of kept lines are cut as one piece.
   *
   * The length stays whoever asks: it frames the body that follows. `Connection` cannot name what addresses the message either: `Connection: host` would be an attack on the next hop
   * (CVE-2024-45410 is its cousin). What the mesh adds is not in here at all, so it cannot be named away either.
   */
  kept(edits: HeaderEdits, options: ReadonlySet<string> | null, dropKind: number): string {
    const { text, fields, fieldCount } = this.raw;
    if (dropped.length < fieldCount) dropped = new Uint8Array(fieldCount);
    if (edits.removed !== null) for (const name of edits.removed) this.#drop(name, false);
    if (options !== null) for (const name of options) this.#drop(name, true);
    let kept = "";
    let from = -1;
    for (let n = 0, row = 0; n < fieldCount; n++, row += STRIDE) {
      const kind = fields[row + 4]!;
      const isKept = kind < FIRST_HOP && kind !== dropKind && dropped[n] === 0;
      dropped[n] = 0;
      if (isKept) {
        if (from < 0) from = fields[row]!;
      } else if (from >= 0) {
        kept += text.slice(from, fields[row]);
        from = -1;
      }
    }
    return from < 0 ? kept : kept + text.slice(from, fields[fieldCount * STRIDE]);
  }

  #drop(name: string, isNamedByPeer: boolean): void {
    const { text, fields, fieldCount } = this.raw;
    for (let n = 0, row = 0; n < fieldCount; n++, row += STRIDE) {
      const from = fields[row]!;
      if (fields[row + 1]! - from !== name.length) continue;
      if (tokenBytes[text.charCodeAt(from)] !== name.charCodeAt(0) || !equalsName(text, from, name)) continue;
      const kind = fields[row + 4]!;
      if (kind !== CONTENT_LENGTH && !(isNamedByPeer && kind === HOST)) dropped[n] = 1;
    }
  }

  /** The lines as platform `Headers`, hop-by-hop ones included. */
  toHeaders(): Headers {
    const { text, fields, fieldCount } = this.raw;
    const headers = new Headers();
    for (let n = 0, row = 0; n < fieldCount; n++, row += STRIDE) {
      headers.append(text.slice(fields[row], fields[row + 1]), text.slice(fields[row + 2], fields[row + 3]));
    }
    return headers;
  }
}
