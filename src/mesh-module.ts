/** What a mesh inside the caller's own process is made of, whatever carries its bytes and wherever its config comes from. */
import { systemClock, type Clock } from "./clock.ts";
import type { Snapshot } from "./control/snapshot.ts";
import type { InstanceRecord } from "./control/store.ts";
import type { Dispatched, Handler } from "./exchange.ts";
import { localPeer } from "./identity/identify.ts";
import { meshId } from "./identity/spiffe-id.ts";
import { PlatformRequest } from "./listener/platform-request.ts";
import { fetchThrough, type MeshFetchDeps } from "./mesh-fetch.ts";
import type { MeshSource, OnChange, WaitUntil } from "./mesh-source.ts";
import { fanOut, type Events } from "./observe/events.ts";
import { randomIds } from "./observe/ids.ts";
import { outbound } from "./outbound.ts";
import { withProvableIdentity } from "./provable-identity.ts";
import { systemRandom, type Random } from "./random.ts";
import { timerPerAlarm } from "./timer-wheel.ts";
import { createTraffic, type Traffic, type TrafficOptions } from "./traffic.ts";

/** Who calls, and what every kind of module can be told. */
export interface MeshSelfOptions {
  /** Who calls. */
  readonly service: string;
  /** @default "default" */
  readonly namespace?: string;
  /** @default "mesh.local" */
  readonly trustDomain?: string;
  /** Name of the mesh. @default "default" */
  readonly mesh?: string;
  /** `off`: registered instances speak plaintext, and prove nothing. @default "strict" */
  readonly mtls?: "strict" | "off";
  readonly events?: Events;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface MeshFetchInit extends RequestInit {
  /** A worker's `ctx.waitUntil`: lets a look at the config outlive the response. */
  readonly waitUntil?: WaitUntil;
}

export interface Mesh {
  /**
   * `fetch` for services of the mesh: `mesh.fetch("http://orders/…")`. Routed, retried, timed, balanced; no redirect is
   * followed. A failure of the mesh is a problem `Response` as a sidecar would send it; it rejects only when the caller's own
   * signal aborted. Bodies up to 64 KiB can be sent again, whatever they are made of.
   */
  readonly fetch: (input: Request | URL | string, init?: MeshFetchInit) => Promise<Response>;
  /** Reads the config if there is none yet. @throws {MeshError} ERR_STORE_UNAVAILABLE, ERR_STORE_CORRUPT, ERR_TOKEN_REFUSED */
  ready(): Promise<void>;
  /** Version in force; 0 before the first, or where none was published. */
  readonly version: number;
  /** Stops following, and closes what was opened for it. */
  close(): Promise<void>;
}

/** What a source is opened with. */
export interface SourceParts {
  readonly mesh: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
  readonly onChange: OnChange;
  /** Gets the word of others about endpoints. */
  readonly audience: () => Traffic["fleet"];
}

export interface MeshParts {
  /** Sends one attempt. */
  readonly send: (clock: Clock) => Handler<Dispatched>;
  readonly openSource: (parts: SourceParts) => MeshSource;
  /** Endpoints can be made to prove who they are. */
  readonly provesPeers: boolean;
  /** Where breaker votes go, and as whose. */
  readonly votes: TrafficOptions["votes"];
  readonly voter: string;
  readonly close?: () => void;
}

export function assembleMesh(options: MeshSelfOptions, parts: MeshParts): Mesh {
  const {
    service,
    namespace = "default",
    trustDomain = "mesh.local",
    mesh = "default",
    clock = systemClock,
    random = systemRandom,
  } = options;
  const events = fanOut(options.events === undefined ? [] : [options.events]);
  const traffic = createTraffic({ clock, random, events, voter: parts.voter, votes: parts.votes });
  const provenDomain = options.mtls === "off" ? null : trustDomain;
  const onChange: OnChange = (snapshot, instances) => {
    const provable = instances.map((record) => withProvableIdentity(record, provenDomain));
    traffic.directory.update(
      snapshot,
      parts.provesPeers || provenDomain === null ? provable : callable(snapshot, provable),
    );
  };
  const source = parts.openSource({ mesh, clock, random, events, onChange, audience: () => traffic.fleet });
  const self = localPeer(meshId(trustDomain, namespace, service));
  const by = `module ${service}`;
  // A worker's timers end with the request that made them: none may be shared.
  const wheel = timerPerAlarm(clock);
  const handler = outbound({
    ...traffic,
    wheel,
    ids: randomIds(),
    by,
    self: () => self,
    namespace,
    send: parts.send(clock),
  });
  return new ModuleMesh({ source, handler, clock, by }, parts.close);
}

/**
 * Nobody proves anything to a platform's `fetch`. Where a document lists endpoints, they are the way in from here; where none
 * does, the instances stay, and a call says why it cannot be made.
 */
function callable(snapshot: Snapshot, instances: readonly InstanceRecord[]): readonly InstanceRecord[] {
  return instances.filter(
    ({ namespace, service }) => (snapshot.services.get(`${namespace}/${service}`)?.endpoints.length ?? 0) === 0,
  );
}

class ModuleMesh implements Mesh {
  /** A property, so that it can be handed on as a `fetch`. */
  readonly fetch: Mesh["fetch"];
  readonly #source: MeshSource;
  readonly #close: (() => void) | undefined;

  constructor(deps: MeshFetchDeps, close: (() => void) | undefined) {
    this.#source = deps.source;
    this.#close = close;
    this.fetch = async (input, init) => fetchThrough(deps, new PlatformRequest(input, init), init?.waitUntil);
  }

  get version(): number {
    return this.#source.snapshot?.version ?? 0;
  }

  async ready(): Promise<void> {
    await this.#source.current();
  }

  async close(): Promise<void> {
    await this.#source.close();
    this.#close?.();
  }
}
