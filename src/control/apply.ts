/**
 * The sidecar's end of the config's journey: hint → fetch → verify → validate → compile on the side → swap. The last good
 * version stays until a better one is complete; what fails is refused with its reason; what is missing changes nothing.
 */
import type { Clock } from "../clock.ts";
import { describeError, MeshError } from "../errors.ts";
import type { Events } from "../observe/events.ts";
import type { Random } from "../random.ts";
import { compileSnapshot } from "./compile.ts";
import { decodeEnvelope, type Envelope } from "./envelope.ts";
import { startLooking } from "./look.ts";
import { openUnverified } from "./signed-body.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Hint, SnapshotPointer, Store, StoredSnapshot } from "./store.ts";
import { compareVersions } from "./version.ts";

/** Where the newest good version survives a restart (R23). Neither call may be relied on: a full disk must not stop a swap. */
export interface LastKnownGood {
  load(): Promise<StoredSnapshot | null>;
  save(stored: StoredSnapshot): Promise<void>;
}

export interface FollowConfigOptions {
  readonly store: Store;
  readonly mesh: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Takes the signature off a stored body. @default openUnverified @throws {MeshError} to refuse it */
  readonly open?: (body: string) => Promise<string>;
  /** @default compileSnapshot */
  readonly compile?: (envelope: Envelope) => Snapshot;
  /** Called once per applied version, synchronously with the swap. */
  readonly onSnapshot: (snapshot: Snapshot) => void;
  /** Called when the reason why the newest version is not in use changes. */
  readonly onRefused?: (refusal: Refusal | null) => void;
  readonly lastKnownGood?: LastKnownGood;
  readonly events?: Events;
  /** @default 10000 */
  readonly pollMs?: number;
}

/** A version that was read and not taken. */
export interface Refusal {
  readonly epoch: string;
  readonly version: number;
  readonly reason: string;
}

export interface ConfigFollower {
  readonly applied: SnapshotPointer;
  /** `null` while the newest version seen is the one applied. */
  readonly refusal: Refusal | null;
  /** Clock.nowMs() of the last look that reached the store; -Infinity before the first. */
  readonly confirmedAtMs: number;
  /** Median of the last 64 swaps: from the hint, or the poll, to the swap. 0 before the first. */
  readonly applyMsP50: number;
  /** Settles after the last known good was tried and the store was asked once, whatever came of it. */
  readonly started: Promise<void>;
  /** Looks again now. */
  look(): Promise<void>;
  close(): void;
}

/** Follows the published config until closed. Nothing a store holds makes it throw. */
export function followConfig(options: FollowConfigOptions): ConfigFollower {
  return new Follower(options);
}

class Follower implements ConfigFollower {
  applied: SnapshotPointer = { epoch: "", version: 0 };
  refusal: Refusal | null = null;
  confirmedAtMs = -Infinity;
  readonly started: Promise<void>;
  readonly #options: FollowConfigOptions;
  readonly #loop: ReturnType<typeof startLooking>;
  readonly #unwatch: () => void;
  readonly #applyMs: number[] = [];
  #hintedAtMs: number | null = null;
  #wasConnected: boolean | null = null;
  /** The newest version that is not on disk yet; the one being written included. */
  #unsaved: StoredSnapshot | null = null;
  #isClosed = false;

  constructor(options: FollowConfigOptions) {
    this.#options = options;
    this.#loop = startLooking(options.clock, options.random, options.pollMs ?? 10_000, () => this.#look());
    // Subscribed before anything is read: what is published in between arrives as a hint (R2).
    this.#unwatch = options.store.watch((hint) => this.#hinted(hint));
    this.started = this.#start();
  }

  get applyMsP50(): number {
    const sorted = [...this.#applyMs].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? 0;
  }

  look(): Promise<void> {
    return this.#loop.look();
  }

  close(): void {
    this.#isClosed = true;
    this.#unwatch();
    this.#loop.stop();
  }

  async #start(): Promise<void> {
    try {
      const stored = await this.#options.lastKnownGood?.load();
      if (stored) await this.#take(stored, false);
    } catch (error) {
      this.#options.events?.configRefused?.(0, `last known good: ${describeError(error)}`);
    }
    await this.#loop.look();
  }

  #hinted(hint: Hint): void {
    if (hint.t === "resync") this.#loop.nudge();
    // Somebody with redis-cli may not know the epoch: the hint then says no more than "look".
    else if (hint.t === "config" && (hint.epoch === "" || compareVersions(hint, this.applied) > 0)) {
      this.#hintedAtMs ??= this.#options.clock.nowMs();
      this.#loop.nudge();
    }
  }

  async #look(): Promise<void> {
    const { store, clock } = this.#options;
    const hintedAtMs = this.#hintedAtMs;
    this.#hintedAtMs = null;
    const beganAtMs = hintedAtMs ?? clock.nowMs();
    try {
      // After a hint the body is wanted anyway: one round trip instead of two.
      let found: SnapshotPointer | null = null;
      if (hintedAtMs === null) found = await store.config.pointer();
      if (hintedAtMs !== null || (found !== null && this.#isWorthReading(found))) {
        const stored = await store.config.current();
        found = stored;
        if (stored !== null && this.#isWorthReading(stored)) await this.#take(stored, true, beganAtMs);
      }
      // Absent is not empty (I6): kept, and said aloud.
      if (found === null && this.applied.version > 0)
        this.#refuse({ ...this.applied, reason: "the store has lost its config; the applied version stays" });
      this.confirmedAtMs = clock.nowMs();
    } catch (error) {
      // An unreachable store is no reason to refuse anything: what is applied stays (I1).
      const reason = MeshError.from(error);
      if (reason.code !== "ERR_STORE_UNAVAILABLE") this.#refuse({ ...this.applied, reason: describeError(reason) });
    }
    this.#tellConnection();
  }

  /** A lower version is an old backup or a late replica, never news (R4); an equal one is known. */
  #isWorthReading(pointer: SnapshotPointer): boolean {
    const order = compareVersions(pointer, this.applied);
    if (order < 0)
      this.#refuse({
        epoch: pointer.epoch,
        version: pointer.version,
        reason: `older than the applied version ${this.applied.version}`,
      });
    else if (order === 0) this.#refuse(null);
    return order > 0;
  }

  async #take(stored: StoredSnapshot, isNews: boolean, beganAtMs: number = this.#options.clock.nowMs()): Promise<void> {
    const { clock, mesh, events, onSnapshot, lastKnownGood } = this.#options;
    let snapshot: Snapshot;
    try {
      const body =
        this.#options.open === undefined ? openUnverified(stored.body) : await this.#options.open(stored.body);
      const envelope = await decodeEnvelope({ ...stored, body }, mesh);
      snapshot = (this.#options.compile ?? compileSnapshot)(envelope);
    } catch (error) {
      this.#refuse({ epoch: stored.epoch, version: stored.version, reason: describeError(error) });
      return;
    }
    if (this.#isClosed) return;
    this.applied = { epoch: stored.epoch, version: stored.version };
    onSnapshot(snapshot);
    this.#refuse(null);
    const tookMs = clock.nowMs() - beganAtMs;
    this.#applyMs.push(tookMs);
    if (this.#applyMs.length > 64) this.#applyMs.shift();
    events?.configApplied?.(stored.version, tookMs);
    if (isNews && lastKnownGood !== undefined) this.#save(lastKnownGood, stored);
  }

  /** One at a time and only the newest: of two renames under way at once the older could be the last (I2). */
  #save(to: LastKnownGood, stored: StoredSnapshot): void {
    const isSaving = this.#unsaved !== null;
    this.#unsaved = stored;
    if (!isSaving) void this.#saveAll(to);
  }

  async #saveAll(to: LastKnownGood): Promise<void> {
    for (let saved = this.#unsaved; saved !== null; saved = this.#unsaved) {
      try {
        await to.save(saved);
      } catch (error) {
        this.#options.events?.configRefused?.(saved.version, `last known good not saved: ${describeError(error)}`);
      }
      if (this.#unsaved === saved) this.#unsaved = null;
    }
  }

  #refuse(refusal: Refusal | null): void {
    const before = this.refusal;
    if (before?.epoch === refusal?.epoch && before?.version === refusal?.version && before?.reason === refusal?.reason)
      return;
    this.refusal = refusal;
    if (refusal !== null) this.#options.events?.configRefused?.(refusal.version, refusal.reason);
    this.#options.onRefused?.(refusal);
  }

  #tellConnection(): void {
    const { isConnected } = this.#options.store;
    if (isConnected !== this.#wasConnected) this.#options.events?.storeChanged?.(isConnected);
    this.#wasConnected = isConnected;
  }
}
