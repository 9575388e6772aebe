/** Our own wire under `createMesh`: for applications on Bun, Deno and Node that call mTLS endpoints without a sidecar. */
import type { Clock } from "./clock.ts";
import type { Dispatched, Handler } from "./exchange.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import { peerDials } from "./peer-dial.ts";
import type { SocketTransport } from "./runtime/contract.ts";
import { sendOverWire } from "./transport/wire-transport.ts";
import { wireDefaults } from "./wire/message.ts";
import { ConnectionPool } from "./wire/pool.ts";
import { Sweeper } from "./wire/sweeper.ts";

export function wireSender(transport: SocketTransport, clock: Clock, identity: WorkloadCertificate | null): Handler<Dispatched> {
  const pool = new ConnectionPool({ transport, limits: wireDefaults, clock, sweeper: new Sweeper(clock) });
  return sendOverWire({ pool, clock, dial: peerDials(clock, () => identity) });
}
