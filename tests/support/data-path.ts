/** A data path without a wire: exchanges, snapshots and services made by hand, on a virtual clock. */
import { emptySnapshot } from "../../src/control/compile.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import type { InstanceRecord } from "../../src/control/store.ts";
import type { MeshError } from "../../src/errors.ts";
import { Exchange, type Dispatched, type Routed } from "../../src/exchange.ts";
import { requireSpiffeId } from "../../src/identity/spiffe-id.ts";
import { PlatformHead } from "../../src/listener/platform-head.ts";
import type { Events } from "../../src/observe/events.ts";
import { backendDefaults, type BackendConfig } from "../../src/policy/backend-config.ts";
import { seededRandom } from "../../src/random.ts";
import type { RouteRule } from "../../src/route/route.ts";
import { makeRule } from "../../src/route/rule.ts";
import { createTraffic, type Traffic, type TrafficOptions } from "../../src/traffic.ts";
import { VirtualClock } from "./virtual-clock.ts";

export interface ExchangeOptions {
  readonly method?: string;
  readonly body?: string | ReadableStream<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly snapshot?: Snapshot;
  readonly startedAtMs?: number;
  readonly upstream?: string;
}

/** @param url with the authority as the caller wrote it */
export function exchangeFor(url: string, options: ExchangeOptions = {}): Exchange {
  const init: RequestInit & { duplex?: "half" } = { method: options.method ?? "GET", headers: options.headers ?? {} };
  if (options.body !== undefined) Object.assign(init, { body: options.body, duplex: "half" });
  const request = new Request(url, init);
  const x = new Exchange({
    direction: "outbound",
    request,
    head: new PlatformHead(request),
    snapshot: options.snapshot ?? emptySnapshot("e1"),
    startedAtMs: options.startedAtMs ?? 1_000,
    connection: {
      remoteAddress: "127.0.0.1",
      localPort: 15_001,
      peer: null,
      encrypted: false,
      upstream: options.upstream ?? null,
    },
  });
  x.peer = {
    id: requireSpiffeId("spiffe://mesh.local/ns/default/sa/web"),
    certificateHash: "",
    notAfterMs: Infinity,
    isLocal: true,
  };
  return x;
}

export function instance(service: string, address: string, parts: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    id: `${service}-${address}`,
    service,
    namespace: "default",
    address,
    addressH2: null,
    spiffeId: `spiffe://mesh.local/ns/default/sa/${service}`,
    zone: null,
    weight: 1,
    runtime: "test",
    appliedEpoch: "e1",
    appliedVersion: 0,
    state: "applied",
    reason: null,
    certificateExpiresAt: null,
    seenAtMs: 0,
    ...parts,
  };
}

/** A snapshot of no documents whose every service has this policy. */
export function snapshotWith(config: BackendConfig): Snapshot {
  return { ...emptySnapshot("e1"), backend: () => config };
}

export interface Bench extends Traffic {
  readonly clock: VirtualClock;
  /** Names of events in order, with what tells them apart. */
  readonly heard: string[];
}

/** Real policy objects on a virtual clock and seeded chance. */
export function createBench(options: Partial<TrafficOptions> & { readonly seed?: number } = {}): Bench {
  const clock = new VirtualClock();
  const heard: string[] = [];
  const events: Events = {
    attemptFinished: (x, endpoint, status, error) =>
      heard.push(`attempt ${x.attempt} ${endpoint.record.address} ${error?.code ?? status}`),
    retryPlanned: (_x, reason) => heard.push(`retry ${reason}`),
    retryRefused: (_x, reason) => heard.push(`refused ${reason}`),
    breakerChanged: (_cluster, endpoint, from, to, source) =>
      heard.push(`${endpoint.record.address} ${from} > ${to} ${source}`),
  };
  const traffic = createTraffic({
    clock,
    random: seededRandom(options.seed ?? 7),
    events,
    voter: "me",
    votes: null,
    ...options,
  });
  return { ...traffic, clock, heard };
}

export interface RuleOptions {
  readonly service?: string;
  readonly config?: BackendConfig;
  readonly timeouts?: Partial<RouteRule["timeouts"]>;
  readonly retry?: Partial<RouteRule["retry"]>;
}

/** An exchange as it is below `route()`: bound for `default/<service>` of the bench's directory. */
export function routed(bench: Bench, x: Exchange, options: RuleOptions = {}): Routed {
  const { service = "orders", config = backendDefaults } = options;
  const key = `default/${service}`;
  const rule = makeRule({
    name: "default",
    backends: [{ service: key, weight: 1, requestFilter: null, responseFilter: null, config }],
    requestFilter: null,
    responseFilter: null,
    timeouts: { ...config.timeouts, ...options.timeouts },
    retry: { ...config.retry, ...options.retry },
  });
  x.cluster = bench.directory.ensure(key, config);
  x.route = rule.decisions[0]!;
  return x as Routed;
}

/** A transport as a script: `answer` is asked for every attempt, and an interruption ends the attempt as a real one would. */
export function sender(
  answer: (x: Dispatched) => Response | MeshError | Promise<Response>,
): (x: Dispatched) => Promise<Response> {
  return (x) =>
    new Promise((resolve, reject) => {
      x.interrupt = reject;
      const given = answer(x);
      if (given instanceof Response) {
        x.respondedAtMs = 1;
        resolve(given);
      } else if (given instanceof Promise) given.then(resolve, reject);
      else reject(given);
    });
}

/** An attempt that hangs until it is interrupted. */
export const hanging = (): Promise<Response> => new Promise(() => {});

/** The error a promise is rejected with. */
export async function refusal(promise: Promise<unknown>): Promise<MeshError> {
  try {
    await promise;
  } catch (error) {
    return error as MeshError;
  }
  throw new Error("It was expected to be refused, and was not");
}
