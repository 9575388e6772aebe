/**
 * Changes to a header section, collected by layers and applied once by whoever writes the bytes. Platform `Headers` are
 * never mutated and raw header lines that nobody edits are copied as they came.
 */

export class HeaderEdits {
  /** lower-case names whose received lines are not forwarded: removed, or replaced by a `set`. `null` while empty. */
  removed: string[] | null = null;
  /** Lines to write after the received ones: name, value, name, value … */
  added: string[] | null = null;

  get isEmpty(): boolean {
    return this.removed === null && this.added === null;
  }

  remove(name: string): void {
    const key = name.toLowerCase();
    // A handful at most: a list is walked faster than a set is built.
    if (this.removed === null) this.removed = [key];
    else if (!this.removed.includes(key)) this.removed.push(key);
    if (this.added !== null) this.#dropAdded(this.added, key);
  }

  /** Replaces every line of `name` by one. */
  set(name: string, value: string): void {
    this.remove(name);
    (this.added ??= []).push(name, value);
  }

  /** Adds a line and keeps the others (RFC 9110 §5.3: order within one name is kept). */
  add(name: string, value: string): void {
    (this.added ??= []).push(name, value);
  }

  isRemoved(lowerCaseName: string): boolean {
    return this.removed !== null && this.removed.includes(lowerCaseName);
  }

  /** The same edits on platform `Headers`: for the edge, where somebody else writes the bytes. */
  applyTo(headers: Headers): void {
    if (this.removed !== null) for (const name of this.removed) headers.delete(name);
    if (this.added !== null)
      for (let i = 0; i < this.added.length; i += 2) headers.append(this.added[i]!, this.added[i + 1]!);
  }

  #dropAdded(added: string[], key: string): void {
    for (let i = added.length - 2; i >= 0; i -= 2) {
      const name = added[i]!;
      if (name.length === key.length && name.toLowerCase() === key) added.splice(i, 2);
    }
  }
}
