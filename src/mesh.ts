/**
 * Composition root of the module: the outbound path of a sidecar inside the caller's own process, over the platform's
 * `fetch` or any other transport. For edge workers and for applications that want no second process.
 *
 * @module
 */
import { systemClock, type Clock } from "./clock.ts";
import type { Store } from "./control/store.ts";
import { MeshError } from "./errors.ts";
import { Exchange, type Accepted, type ConnectionFacts, type Dispatched, type Handler } from "./exchange.ts";
import { localPeer } from "./identity/identify.ts";
import { meshId } from "./identity/spiffe-id.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import { PlatformHead } from "./listener/platform-head.ts";
import { openMeshSource, type InlineConfig, type MeshSource } from "./mesh-source.ts";
import { fanOut, type Events } from "./observe/events.ts";
import { randomIds } from "./observe/ids.ts";
import { outbound } from "./outbound.ts";
import { withProvableIdentity } from "./provable-identity.ts";
import { randomHex, systemRandom, type Random } from "./random.ts";
import type { Transport } from "./runtime/contract.ts";
import { fetchTransport } from "./runtime/fetch-transport.ts";
import { timerPerAlarm } from "./timer-wheel.ts";
import { createTraffic } from "./traffic.ts";
import { sendOverFetch } from "./transport/send-over-fetch.ts";

export interface MeshOptions {
  /** Who calls. */
  readonly service: string;
  /** @default "default" */
  readonly namespace?: string;
  /** @default "mesh.local" */
  readonly trustDomain?: string;
  /** Name of the mesh. @default "default" */
  readonly mesh?: string;
  /**
   * Where config and endpoints come from: the URL of a control plane (`https://…`, with `token`), documents written inline,
   * or a store.
   */
  readonly store: string | InlineConfig | Store;
  /** Reader token for a control plane: `fetchmesh token create --kind reader --service NAME`. */
  readonly token?: string;
  /** How the control plane is called, where the platform's `fetch` does not know its root (a binding). @default `fetch` */
  readonly controlFetch?: (request: Request) => Promise<Response>;
  /** Config older than this is looked up again, by the request that notices. @default 10000 */
  readonly refreshMs?: number;
  /** @default fetchTransport() */
  readonly transport?: Transport;
  /** Who this process is on a transport of sockets: without it only endpoints that need prove nothing can be called. */
  readonly identity?: WorkloadCertificate;
  readonly events?: Events;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface MeshFetchInit extends RequestInit {
  /** A worker's `ctx.waitUntil`: lets a look at the config outlive the response. */
  readonly waitUntil?: (work: Promise<unknown>) => void;
}

export interface Mesh {
  /**
   * `fetch` for services of the mesh: `mesh.fetch("http://orders/…")`. Routed, retried, timed, balanced. A failure of the mesh
   * is a problem `Response` as a sidecar would send it; it rejects only when the caller's own signal aborted.
   */
  fetch(input: Request | URL | string, init?: MeshFetchInit): Promise<Response>;
  /** Reads the config if there is none yet. @throws {MeshError} ERR_STORE_UNAVAILABLE, ERR_STORE_CORRUPT */
  ready(): Promise<void>;
  /** Version in force; 0 before the first, or where none was published. */
  readonly version: number;
  close(): Promise<void>;
}

/** @throws {MeshError} ERR_OPTION_INVALID if the store is none; documents are checked by `ready` and the first `fetch` */
export function createMesh(options: MeshOptions): Mesh {
  const { service, namespace = "default", trustDomain = "mesh.local", clock = systemClock, random = systemRandom } = options;
  const self = localPeer(meshId(trustDomain, namespace, service));
  const source = openMeshSource({
    ...options,
    clock,
    random,
    onChange(snapshot, instances) {
      const provable = instances.map((record) => withProvableIdentity(record, trustDomain));
      traffic.directory.update(snapshot, provable);
    },
    audience: () => traffic.fleet,
  });
  const traffic = createTraffic({ clock, random, events: fanOut(options.events === undefined ? [] : [options.events]), voter: `${service}-${randomHex(2)}`, votes: source.votes });
  const handler = outbound({
    ...traffic,
    // A worker's timers end with the request that made them: none may be shared.
    wheel: timerPerAlarm(clock),
    ids: randomIds(),
    by: `module ${service}`,
    self: () => self,
    namespace,
    send: senderOf(options, clock),
  });
  return new ModuleMesh({ source, handler, clock });
}

/** The wire is loaded only where bytes are ours to move: an edge bundle does without it. */
function senderOf(options: MeshOptions, clock: Clock): Handler<Dispatched> {
  const transport = options.transport ?? fetchTransport();
  if (transport.kind === "fetch") return sendOverFetch({ transport, clock });
  let opening: Promise<Handler<Dispatched>> | null = null;
  return async (x) => (await (opening ??= import("./mesh-wire.ts").then(({ wireSender }) => wireSender(transport, clock, options.identity ?? null))))(x);
}

interface ModuleMeshDeps {
  readonly source: MeshSource;
  readonly handler: Handler<Accepted>;
  readonly clock: Clock;
}

/** A call from inside the process: nothing was connected. */
const inProcess: ConnectionFacts = Object.freeze({ remoteAddress: "", localPort: 0, peer: null, encrypted: false, upstream: null });

class ModuleMesh implements Mesh {
  readonly #deps: ModuleMeshDeps;

  constructor(deps: ModuleMeshDeps) {
    this.#deps = deps;
  }

  get version(): number {
    return this.#deps.source.snapshot?.version ?? 0;
  }

  async ready(): Promise<void> {
    await this.#deps.source.current();
  }

  async fetch(input: Request | URL | string, init: MeshFetchInit = {}): Promise<Response> {
    const { source, handler, clock } = this.#deps;
    const request = new Request(input, init);
    request.signal.throwIfAborted();
    const startedAtMs = clock.nowMs();
    const exchange = new Exchange({
      direction: "outbound",
      request,
      head: new PlatformHead(request),
      snapshot: await source.current(init.waitUntil),
      startedAtMs,
      connection: inProcess,
    });
    const aborted = (): void => exchange.abort(new MeshError("ERR_DOWNSTREAM_CLOSED", "The caller aborted", { cause: request.signal.reason }));
    request.signal.addEventListener("abort", aborted, { once: true });
    const response = await handler(exchange);
    const done = (): void => {
      request.signal.removeEventListener("abort", aborted);
      exchange.finish();
    };
    if (request.signal.aborted) {
      done();
      throw request.signal.reason;
    }
    return finishing(edited(response, exchange), done);
  }

  close(): Promise<void> {
    return this.#deps.source.close();
  }
}

function edited(response: Response, { responseEdits }: Exchange): Response {
  if (responseEdits.isEmpty) return response;
  const headers = new Headers(response.headers);
  responseEdits.applyTo(headers);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** The exchange is over when its body is: load and breakers count until then. */
function finishing(response: Response, done: () => void): Response {
  const { body, status } = response;
  // Only the platform can make a 101, and only it can end one.
  if (body === null || status < 200) {
    done();
    return response;
  }
  const reader = body.getReader();
  const watched = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done: isLast, value } = await reader.read();
        if (!isLast) return controller.enqueue(value);
        done();
        controller.close();
      } catch (error) {
        done();
        controller.error(error);
      }
    },
    cancel(reason) {
      done();
      return reader.cancel(reason);
    },
  });
  return new Response(watched, { status, statusText: response.statusText, headers: response.headers });
}
