/** The ports of a sidecar, and who is let in at each. */
import { MeshError } from "./errors.ts";
import type { Accepted, ConnectionFacts, Handler } from "./exchange.ts";
import { verifyPeerChain } from "./identity/svid.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import { openWireListener, type WireListener } from "./listener/wire-listener.ts";
import type { Events } from "./observe/events.ts";
import { problemResponse, type Audience } from "./problem.ts";
import type { Snapshot } from "./control/snapshot.ts";
import type { ByteSocket, ListenOptions, ListenTls, SocketTransport } from "./runtime/contract.ts";
import { sidecarName, type HostPort, type ListenAddress, type SidecarConfig } from "./sidecar-options.ts";
import { wireDefaults } from "./wire/message.ts";
import type { Sweeper } from "./wire/sweeper.ts";

export interface DoorsDeps {
  readonly transport: SocketTransport;
  readonly events: Events;
  readonly sweeper: Sweeper;
  readonly snapshot: () => Snapshot;
  readonly workload: WorkloadCertificate | null;
  readonly outbound: Handler<Accepted>;
  readonly inbound: Handler<Accepted>;
}

export interface Doors {
  readonly outbound: WireListener;
  readonly inbound: WireListener;
  /** By service. */
  readonly upstreams: ReadonlyMap<string, WireListener>;
  drain(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens all of them, or none: what was open before one failed is closed again. */
export async function openDoors(config: SidecarConfig, deps: DoorsDeps): Promise<Doors> {
  const opened: WireListener[] = [];
  const open = async (name: string, opening: Promise<WireListener>): Promise<WireListener> => {
    try {
      const listener = await opening;
      opened.push(listener);
      return listener;
    } catch (reason) {
      throw named(name, reason);
    }
  };
  try {
    const outbound = await open("outbound", openOutbound(config, deps, config.outbound, null));
    const inbound = await open("inbound", openInbound(config, deps));
    const upstreams = new Map<string, WireListener>();
    for (const { service, listen } of config.upstreams) {
      upstreams.set(service, await open(`upstream ${service}`, openOutbound(config, deps, listen, service)));
    }
    const stopRotating = deps.workload?.onChange(({ identity, trust }) => inbound.rotate(identity, trust));
    return {
      outbound,
      inbound,
      upstreams,
      async drain(timeoutMs) {
        stopRotating?.();
        const endsAtMs = config.clock.nowMs() + timeoutMs;
        // First what comes in: to finish it, the application may still have to call others.
        await inbound.drain(timeoutMs);
        const leftMs = Math.max(0, endsAtMs - config.clock.nowMs());
        await Promise.all([outbound, ...upstreams.values()].map((listener) => listener.drain(leftMs)));
      },
      async close() {
        stopRotating?.();
        await Promise.all(opened.map((listener) => listener.close()));
      },
    };
  } catch (error) {
    await Promise.all(opened.map((listener) => listener.close()));
    throw error;
  }
}

/** Plain, for the application: whoever reaches it acts as this service, which is why it belongs on loopback. */
function openOutbound(
  config: SidecarConfig,
  deps: DoorsDeps,
  address: ListenAddress,
  upstream: string | null,
): Promise<WireListener> {
  return openWireListener({
    direction: "outbound",
    ...common(config, deps),
    listen: listenOptions(address),
    handler: deps.outbound,
    refuse: refusal(config, "app"),
    admit: (socket) => facts(socket, { peer: null, upstream }),
  });
}

/** For peers: the runtime verified the chain, we verify who it is, once per connection. */
function openInbound(config: SidecarConfig, deps: DoorsDeps): Promise<WireListener> {
  const { workload } = deps;
  const { clock } = config;
  const tls = workload === null ? null : inboundTls(config, workload);
  return openWireListener({
    direction: "inbound",
    ...common(config, deps),
    listen: { ...listenOptions(config.inbound), ...(tls !== null && { tls }) },
    handler: deps.inbound,
    refuse: refusal(config, "public"),
    admit(socket) {
      if (workload === null || !socket.encrypted) return facts(socket, { peer: null, upstream: null });
      const { trustDomain } = workload.current.spiffeId;
      const peer = verifyPeerChain(socket.peerCertificates, { trustDomain, nowMs: clock.epochMs() });
      return typeof peer === "string" ? peer : facts(socket, { peer, upstream: null });
    },
  });
}

function inboundTls(config: SidecarConfig, workload: WorkloadCertificate): ListenTls {
  const { identity, trust } = workload.current;
  return {
    identity,
    trust,
    clientAuth: "required",
    alpn: ["http/1.1"],
    plaintext: config.mtls === "permissive" ? "accept" : "refuse",
  };
}

function common(config: SidecarConfig, deps: DoorsDeps) {
  const { transport, events, sweeper, snapshot } = deps;
  return {
    transport,
    events,
    sweeper,
    snapshot,
    limits: wireDefaults,
    clock: config.clock,
    maxBodyBytes: config.maxBodyBytes,
  };
}

function facts(socket: ByteSocket, more: Pick<ConnectionFacts, "peer" | "upstream">): ConnectionFacts {
  return { remoteAddress: socket.remoteAddress, localPort: socket.localPort, encrypted: socket.encrypted, ...more };
}

function refusal(config: SidecarConfig, audience: Audience): (error: MeshError) => Response {
  const by = sidecarName(config);
  return (error) => problemResponse(error, { audience, by });
}

export function listenOptions(address: ListenAddress | HostPort): ListenOptions {
  return "path" in address ? { path: address.path } : { host: address.host, port: address.port };
}

/** The flag that chose the address, so that the message says what to change. */
export function named(flag: string, reason: unknown): MeshError {
  const error = MeshError.from(reason);
  const message = `cannot open the ${flag} port: ${error.message}`;
  return new MeshError(error.code, message, {
    cause: reason instanceof Error ? reason.cause : undefined,
    ...(error.advice !== undefined && { advice: error.advice }),
  });
}
