/** Who says that one endpoint is sick, and until when. */

/** More voters change no decision and would only cost memory. */
const maxVoters = 1_024;

export class Tally {
  /** Own evidence of health: until then (Clock.nowMs()) votes are kept, but do not open. */
  disbelievedUntilMs = 0;
  /** Voter to the end of its vote, epoch ms. */
  readonly #votes = new Map<string, number>();

  get size(): number {
    return this.#votes.size;
  }

  /** A voter counts once; its newest vote holds. */
  add(voter: string, expiresAtMs: number): void {
    if (this.#votes.has(voter) || this.#votes.size < maxVoters) this.#votes.set(voter, expiresAtMs);
  }

  delete(voter: string): boolean {
    return this.#votes.delete(voter);
  }

  clear(): void {
    this.#votes.clear();
  }

  expire(epochMs: number): void {
    for (const [voter, expiresAtMs] of this.#votes) if (expiresAtMs <= epochMs) this.#votes.delete(voter);
  }

  /** For how long at least `needed` voters will agree if nothing new is said; 0 if they do not now. */
  agreedFor(needed: number, epochMs: number): number {
    this.expire(epochMs);
    const count = Math.min(needed, maxVoters);
    if (this.#votes.size < count) return 0;
    const ends = [...this.#votes.values()].sort((a, b) => b - a);
    return ends[count - 1]! - epochMs;
  }
}
