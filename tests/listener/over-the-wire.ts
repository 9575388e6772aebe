/** A listener of ours on a network in memory, and a client that writes exact bytes. */
import { systemClock } from "../../src/clock.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import type { Accepted, ConnectionFacts, Direction, Handler } from "../../src/exchange.ts";
import { openWireListener } from "../../src/listener/wire-listener.ts";
import type { Events } from "../../src/observe/events.ts";
import { problemResponse } from "../../src/problem.ts";
import { memoryTransport } from "../../src/runtime/memory-transport.ts";
import { wireDefaults } from "../../src/wire/message.ts";
import { Sweeper } from "../../src/wire/sweeper.ts";

export interface WireOptions {
  readonly direction?: Direction;
  readonly peer?: ConnectionFacts["peer"];
  readonly events?: Events;
  readonly handler: Handler<Accepted>;
}

/** Sends `bytes` (latin-1) on a new connection and resolves with everything that came back until the other side closed. */
export async function exchangeBytes(options: WireOptions, bytes: string): Promise<string> {
  const transport = memoryTransport();
  const listener = await openWireListener({
    direction: options.direction ?? "inbound",
    transport,
    listen: { host: "127.0.0.1", port: 0 },
    limits: wireDefaults,
    clock: systemClock,
    sweeper: new Sweeper(systemClock),
    events: options.events ?? {},
    handler: options.handler,
    snapshot: () => ({ version: 7 }) as unknown as Snapshot,
    admit: (socket) => ({
      remoteAddress: socket.remoteAddress,
      localPort: socket.localPort,
      peer: options.peer ?? null,
      encrypted: false,
      upstream: null,
    }),
    refuse: (error) => problemResponse(error, { audience: "public", by: "test" }),
  });
  const socket = await transport.connect({ host: "127.0.0.1", port: listener.port });
  let received = "";
  const closed = new Promise<void>((resolve) => {
    socket.attach({
      data: (chunk) => void (received += Array.from(chunk, (byte) => String.fromCharCode(byte)).join("")),
      drain() {},
      end: () => socket.end(),
      close: () => resolve(),
    });
  });
  socket.write(bytes);
  await closed;
  await listener.close();
  return received;
}
