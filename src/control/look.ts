/** The pattern every reader of a store follows: look now, again after a hint, again after a while; never twice at once. */
import type { Clock, Timer } from "../clock.ts";
import type { Random } from "../random.ts";

export interface LookLoop {
  /** Asks for a look. Hints that arrive during one lead to exactly one more (R13). */
  nudge(): void;
  /** Settles when a look that began after this call is over. */
  look(): Promise<void>;
  stop(): void;
}

/** `look` must not throw. Polls every `pollMs` ± 20 %, so that a fleet does not ask in step (R12). */
export function startLooking(clock: Clock, random: Random, pollMs: number, look: () => Promise<void>): LookLoop {
  let timer: Timer | null = null;
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  let isStopped = false;

  const run = (): Promise<void> => {
    if (isStopped) return Promise.resolve();
    if (running !== null) return (next ??= running.then(begin));
    return begin();
  };
  const begin = (): Promise<void> => {
    next = null;
    timer?.cancel();
    running = look().finally(() => {
      running = null;
      if (!isStopped && next === null) timer = clock.after(pollMs * (0.8 + 0.4 * random()), () => void run());
    });
    return running;
  };
  return {
    nudge: () => void run(),
    look: run,
    stop() {
      isStopped = true;
      timer?.cancel();
    },
  };
}
