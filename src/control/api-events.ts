/** Hints as server-sent events. A stream that cannot keep up is closed: whoever comes back is told to read everything again. */
import type { Clock, Timer } from "../clock.ts";
import type { Store } from "./store.ts";

// Shorter than the silence after which a reader takes the connection for dead.
const heartbeatMs = 5_000;
const maxWaiting = 256;

export function eventStream(store: Store, clock: Clock, gone: readonly AbortSignal[]): Response {
  const encoder = new TextEncoder();
  let timer: Timer | null = null;
  let unwatch: (() => void) | null = null;
  let end: () => void = () => {};
  const stop = (): void => {
    timer?.cancel();
    unwatch?.();
    unwatch = null;
    for (const signal of gone) signal.removeEventListener("abort", end);
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        end = (): void => {
          if (unwatch === null) return;
          stop();
          controller.close();
        };
        const send = (text: string): void => {
          if (unwatch === null) return;
          if ((controller.desiredSize ?? 0) <= 0) end();
          else controller.enqueue(encoder.encode(text));
        };
        const beat = (): void => {
          send(":\n\n");
          if (unwatch !== null) timer = clock.after(heartbeatMs, beat);
        };
        // `resync` comes from the store's own watch, once it stands.
        unwatch = store.watch((hint) => send(`data: ${JSON.stringify(hint)}\n\n`));
        send("retry: 1000\n\n");
        timer = clock.after(heartbeatMs, beat);
        for (const signal of gone) signal.addEventListener("abort", end, { once: true });
      },
      cancel: stop,
    },
    { highWaterMark: maxWaiting },
  );
  return new Response(body, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" },
  });
}
