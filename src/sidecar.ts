/**
 * Composition root of a sidecar: options → runtime, identity, store, paths, listeners; start, drain, close.
 *
 * @module
 */
import { sleep } from "./clock.ts";
import { fetchAs } from "./control-fetch.ts";
import { emptySnapshot } from "./control/compile.ts";
import { openStore } from "./control/open-store.ts";
import type { Store } from "./control/store.ts";
import { MeshError } from "./errors.ts";
import { reportCertificates } from "./identity/certificate-report.ts";
import { createAccessLog } from "./observe/access-log.ts";
import { createAdmin, createHealth } from "./observe/admin.ts";
import { fanOut, type Events } from "./observe/events.ts";
import { logEvents } from "./observe/log-events.ts";
import { createLog, type Log } from "./observe/log.ts";
import { createMeshMetrics } from "./observe/mesh-metrics.ts";
import type { MeshSelf } from "./observe/request-metrics.ts";
import type { ProcessFacts } from "./observe/scraped-metrics.ts";
import { currentRuntime } from "./runtime/current.ts";
import type { SocketTransport } from "./runtime/contract.ts";
import { listenOptions, named, openDoors, type Doors } from "./sidecar-doors.ts";
import { acquireWorkload, type AcquiredIdentity } from "./sidecar-identity.ts";
import { resolveSidecarOptions, sidecarName, type SidecarConfig, type SidecarOptions } from "./sidecar-options.ts";
import { assemblePaths, type Paths } from "./sidecar-paths.ts";
import { followMesh, type Sync } from "./sidecar-sync.ts";
import { serveFetch } from "./transport/serve-fetch.ts";
import type { FetchServer, WireFetch } from "./transport/wire-options.ts";
import { version } from "./version.ts";
import { Sweeper } from "./wire/sweeper.ts";

export type { HostPort, ListenAddress, MtlsMode, SidecarOptions } from "./sidecar-options.ts";
export { acquireIdentity, nodeTransport } from "./process-identity.ts";
export type { IdentityOptions } from "./process-identity.ts";
export { createMesh } from "./mesh-process.ts";
export type { ProcessMeshOptions } from "./mesh-process.ts";
export { memoryTransport } from "./runtime/memory-transport.ts";
export type { WorkloadCertificate } from "./identity/workload.ts";
export type { ByteSocket, SocketTransport } from "./runtime/contract.ts";
export type { Store } from "./control/store.ts";

/** What the ready line says. Addresses are as bound, so a port asked for as 0 is known here. */
export interface SidecarReady {
  readonly service: string;
  readonly namespace: string;
  readonly instance: string;
  /** "bun 1.4.5" */
  readonly runtime: string;
  readonly pid: number;
  readonly outbound: string;
  readonly inbound: string;
  readonly admin: string;
  readonly health: string;
  readonly upstreams: Readonly<Record<string, string>>;
  /** Null with `mtls: "off"`. */
  readonly spiffeId: string | null;
  readonly configVersion: number;
}

export interface Sidecar {
  readonly ready: SidecarReady;
  /** Deregisters, stops accepting, lets what is in flight finish for `drainTimeoutMs`, then closes. Idempotent. */
  drain(): Promise<void>;
  /** Cuts everything at once. */
  close(): Promise<void>;
}

/**
 * Starts a sidecar; resolves when config is applied, the certificate is held and the listeners are open. A store or control
 * plane that cannot be reached is waited for, while the health port says so.
 *
 * @throws {MeshError} ERR_OPTION_INVALID, ERR_TOKEN_REFUSED, ERR_CSR_DENIED, ERR_UPSTREAM_IDENTITY
 */
export async function createSidecar(options: SidecarOptions): Promise<Sidecar> {
  const sidecar = new SidecarProcess(resolveSidecarOptions(options), options);
  try {
    return await sidecar.start();
  } catch (error) {
    await sidecar.close();
    throw error;
  }
}

/** How often a start looks whether the store has answered; the store's own reconnection decides when it does. */
const storeWaitMs = 100;

/** Longer than a deregistration takes to reach every caller: a hint, one read of the registry, and a swap. */
const forgettingMs = 300;

class SidecarProcess {
  readonly #config: SidecarConfig;
  readonly #transport: SocketTransport;
  readonly #runtime = currentRuntime();
  readonly #stop = new AbortController();
  readonly #log: Log;
  readonly #accessLog: ReturnType<typeof createAccessLog>;
  readonly #events: Events;
  readonly #metrics: ReturnType<typeof createMeshMetrics>;
  readonly #sweeper: Sweeper;
  readonly #paths: Paths;
  readonly #waitingFor = new Set<string>(["certificate", "config", "listeners"]);
  #identity: AcquiredIdentity | null = null;
  #controlFetch: WireFetch | null = null;
  #store: Store | null = null;
  #ownsStore = false;
  #sync: Sync | null = null;
  #doors: Doors | null = null;
  #admin: FetchServer | null = null;
  #health: FetchServer | null = null;
  #draining: Promise<void> | null = null;

  constructor(config: SidecarConfig, options: SidecarOptions) {
    const { clock } = config;
    this.#config = config;
    this.#transport = options.transport ?? this.#runtime.transport;
    const write = options.log ?? ((text) => this.#runtime.process.writeError(text));
    this.#log = createLog({ level: "info", clock, write }).with({ service: config.service, instance: config.instance });
    this.#accessLog = createAccessLog({ mode: config.accessLog, clock, write });
    this.#sweeper = new Sweeper(clock);
    this.#metrics = createMeshMetrics({
      clock,
      self: this.#meshSelf(),
      facts: {
        version,
        runtime: this.#runtime.label,
        clusters: () => this.#paths.traffic.directory.clusters(),
        storeConnected: () => this.#store?.isConnected ?? null,
        process: () => this.#processFacts(),
      },
    });
    this.#events = fanOut([this.#metrics.events, this.#accessLog.events, logEvents(this.#log)]);
    this.#paths = assemblePaths(config, {
      transport: this.#transport,
      events: this.#events,
      log: this.#log,
      sweeper: this.#sweeper,
      workload: () => this.#identity?.workload ?? null,
      // The store is opened later than the paths are made: a vote before that would have no reader.
      votes: {
        vote: async (vote) => this.#store?.breaker.vote(vote),
        withdraw: async (vote) => this.#store?.breaker.withdraw(vote),
      },
      callers: (service) => this.#sync?.callers(service) ?? 0,
    });
  }

  async start(): Promise<Sidecar> {
    const config = this.#config;
    if (this.#runtime.concern !== null) this.#log.warn(this.#runtime.concern);
    // First, so that probes and people can see what a slow start is waiting for.
    await this.#openStatusPorts();
    this.#identity = await acquireWorkload(config, {
      transport: this.#transport,
      files: this.#runtime.files,
      events: this.#events,
      log: this.#log,
      signal: this.#stop.signal,
    });
    this.#waitingFor.delete("certificate");
    this.#store = await this.#openStore(this.#identity);
    this.#sync = followMesh(config, {
      store: this.#store,
      traffic: this.#paths.traffic,
      events: this.#events,
      files: this.#runtime.files,
      runtime: this.#runtime.label,
      workload: this.#identity.workload,
      configKey: this.#identity.configKey,
    });
    await this.#firstConfig(this.#sync);
    this.#waitingFor.delete("config");
    const sync = this.#sync;
    this.#doors = await openDoors(config, {
      transport: this.#transport,
      events: this.#events,
      sweeper: this.#sweeper,
      snapshot: () => sync.snapshot(),
      workload: this.#identity.workload,
      outbound: this.#paths.outbound,
      inbound: this.#paths.inbound,
    });
    this.#waitingFor.delete("listeners");
    await this.#sync.announce(this.#advertised(this.#doors));
    return { ready: this.#readyFacts(this.#doors), drain: () => this.drain(), close: () => this.close() };
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#sync?.withdraw();
    this.#sync?.close();
    await this.#doors?.close();
    this.#paths.close();
    this.#identity?.workload?.close();
    if (this.#ownsStore) await this.#store?.close();
    this.#controlFetch?.close();
    this.#accessLog.flush();
    await Promise.all([this.#admin?.close(), this.#health?.close()]);
  }

  async #drain(): Promise<void> {
    this.#waitingFor.add("draining");
    // Callers stop choosing this instance before it stops accepting: nobody finds a closed door, and no request crosses the
    // closing of its kept-alive connection on the way, which a POST would not survive.
    await this.#sync?.withdraw();
    if (this.#doors !== null) await sleep(this.#config.clock, forgettingMs);
    await this.#doors?.drain(this.#config.drainTimeoutMs);
    await this.close();
  }

  async #openStatusPorts(): Promise<void> {
    const config = this.#config;
    const by = sidecarName(config);
    const waitingFor = (): readonly string[] => [...this.#waitingFor];
    const admin = createAdmin({
      by,
      clock: config.clock,
      metrics: () => this.#metrics.expose(),
      waitingFor,
      snapshot: () => this.#sync?.snapshot() ?? emptySnapshot(),
      clusters: () => this.#paths.traffic.directory.clusters(),
      certificates: () => {
        const workload = this.#identity?.workload;
        return workload ? reportCertificates(workload.current) : [];
      },
      drain: () => void this.drain(),
    });
    const health = createHealth({ by, waitingFor });
    const { clock } = config;
    this.#admin = await serveFetch(
      this.#transport,
      listenOptions(config.admin),
      (request, { socket }) => admin(request, socket.remoteAddress),
      { clock },
    ).catch((reason: unknown) => Promise.reject(named("admin", reason)));
    this.#health = await serveFetch(this.#transport, listenOptions(config.health), health, { clock }).catch(
      (reason: unknown) => Promise.reject(named("health", reason)),
    );
  }

  async #openStore(identity: AcquiredIdentity): Promise<Store> {
    const { store, control, mesh, clock, random } = this.#config;
    if (store !== null && typeof store !== "string") return store;
    this.#ownsStore = true;
    const url = store ?? control!;
    const { workload } = identity;
    let fetch: WireFetch | null = null;
    if (url.startsWith("https:")) {
      if (workload === null) {
        throw new MeshError(
          "ERR_OPTION_INVALID",
          'A sidecar with mTLS "off" has no identity to show the control plane',
          {
            advice: "Give it --store redis://HOST:PORT or --store file:PATH",
          },
        );
      }
      fetch = this.#controlFetch = fetchAs(workload, this.#transport, this.#config.clock);
    }
    return openStore(url, {
      mesh,
      clock,
      random,
      files: this.#runtime.files,
      fetch,
      warn: (message) => this.#log.warn(message),
    });
  }

  /** The store has answered, or a last known good is in force: until then there is nothing to serve by. */
  async #firstConfig(sync: Sync): Promise<void> {
    await sync.started;
    let isTold = false;
    while (sync.config.confirmedAtMs === -Infinity && sync.config.applied.version === 0) {
      if (this.#stop.signal.aborted)
        throw new MeshError("ERR_NOT_READY", "The sidecar was stopped before the store answered");
      if (!isTold)
        this.#log.warn("not ready: the store cannot be reached, trying again until it can", {
          store: this.#store?.name,
        });
      isTold = true;
      await sleep(this.#config.clock, storeWaitMs);
      await sync.config.look();
    }
  }

  /** Where others are told to call. A wildcard address is none, so the host's own name stands in for it. */
  #advertised(doors: Doors): string {
    const { advertise, inbound } = this.#config;
    if (advertise !== null) return `${advertise.host}:${advertise.port === 0 ? doors.inbound.port : advertise.port}`;
    if (inbound.host !== "0.0.0.0" && inbound.host !== "::") return doors.inbound.address;
    return `${this.#isLocalMesh() ? "127.0.0.1" : this.#runtime.process.hostname}:${doors.inbound.port}`;
  }

  /** A mesh whose store or control plane is on loopback, or in a file, lives on this machine. */
  #isLocalMesh(): boolean {
    const { store, control } = this.#config;
    const url = typeof store === "string" ? store : (control ?? "memory");
    return !url.includes("//") || /\/\/(?:[^@/]*@)?(?:localhost|127\.|\[::1\])/.test(url);
  }

  #readyFacts(doors: Doors): SidecarReady {
    const { service, namespace, instance } = this.#config;
    return {
      service,
      namespace,
      instance,
      runtime: this.#runtime.label,
      pid: this.#runtime.process.pid,
      outbound: doors.outbound.address,
      inbound: doors.inbound.address,
      admin: (this.#admin as FetchServer).address,
      health: (this.#health as FetchServer).address,
      upstreams: Object.fromEntries([...doors.upstreams].map(([name, { address }]) => [name, address])),
      spiffeId: this.#identity?.workload?.current.spiffeId.text ?? null,
      configVersion: this.#sync?.snapshot().version ?? 0,
    };
  }

  /** The trust domain is only certain once there is a certificate, so the id is asked for when a series is made. */
  #meshSelf(): MeshSelf {
    const { service, namespace } = this.#config;
    const spiffeId = (): string => this.#paths.self().id.text;
    return {
      service,
      namespace,
      get spiffeId() {
        return spiffeId();
      },
    };
  }

  #processFacts(): ProcessFacts {
    const { cpuSeconds, residentBytes, uptimeSeconds } = this.#runtime.process.usage();
    return { cpuSeconds, residentBytes, startedAtSeconds: this.#config.clock.epochMs() / 1000 - uptimeSeconds };
  }
}
