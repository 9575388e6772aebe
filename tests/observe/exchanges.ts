/** Exchanges made by hand, for tests of what looks at them. */
import { EndpointState } from "../../src/balance/endpoint.ts";
import type { Cluster } from "../../src/balance/cluster.ts";
import type { Clock, Timer } from "../../src/clock.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import { Exchange, type ConnectionFacts, type Direction, type RequestHead } from "../../src/exchange.ts";
import type { Peer } from "../../src/identity/peer.ts";
import { requireSpiffeId } from "../../src/identity/spiffe-id.ts";
import { createBreaker, openByQuorum } from "../../src/policy/breaker.ts";
import type { RouteDecision } from "../../src/route/route.ts";

/** Time that passes when told to. */
export class TestClock implements Clock {
  now = 1_000;
  epoch = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  readonly #timers: { atMs: number; action: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }

  epochMs(): number {
    return this.epoch;
  }

  after(delayMs: number, action: () => void): Timer {
    const timer = { atMs: this.now + delayMs, action };
    this.#timers.push(timer);
    return { cancel: () => void this.#remove(timer) };
  }

  get pending(): number {
    return this.#timers.length;
  }

  advance(ms: number): void {
    this.now += ms;
    this.epoch += ms;
    for (const timer of this.#timers.filter(({ atMs }) => atMs <= this.now)) {
      this.#remove(timer);
      timer.action();
    }
  }

  #remove(timer: { atMs: number; action: () => void }): void {
    const index = this.#timers.indexOf(timer);
    if (index >= 0) this.#timers.splice(index, 1);
  }
}

/** A head over raw lines, as the wire has it: names keep their spelling but for case, lines stay apart. */
export class LinesHead implements RequestHead {
  readonly method: string;
  readonly target: string;
  readonly path: string;
  readonly query: string;
  readonly authority: string;
  readonly #lines: readonly (readonly [string, string])[];

  constructor(method: string, target: string, authority: string, lines: readonly (readonly [string, string])[]) {
    this.method = method;
    this.target = target;
    this.path = target.split("?")[0]!;
    this.query = target.slice(this.path.length + 1);
    this.authority = authority;
    this.#lines = lines.map(([name, value]) => [name.toLowerCase(), value]);
  }

  get(name: string): string | null {
    const lines = this.getAll(name);
    return lines.length === 0 ? null : lines.join(", ");
  }

  getAll(name: string): readonly string[] {
    return this.#lines.filter(([own]) => own === name).map(([, value]) => value);
  }

  names(): readonly string[] {
    return this.#lines.map(([name]) => name);
  }
}

export const webPeer: Peer = Object.freeze({
  id: requireSpiffeId("spiffe://mesh.test/ns/shop/sa/web"),
  certificateHash: "ab".repeat(32),
  notAfterMs: Infinity,
  isLocal: false,
});

export const ordersPeer: Peer = Object.freeze({
  ...webPeer,
  id: requireSpiffeId("spiffe://mesh.test/ns/default/sa/orders"),
});

export interface ExchangeParts {
  readonly direction?: Direction;
  readonly method?: string;
  readonly target?: string;
  readonly authority?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly connection?: Partial<ConnectionFacts>;
  readonly startedAtMs?: number;
}

export function makeExchange(parts: ExchangeParts = {}): Exchange {
  const { method = "GET", target = "/", authority = "orders" } = parts;
  return new Exchange({
    direction: parts.direction ?? "outbound",
    request: new Request(`http://localhost/`, { method: method === "HEAD" ? "HEAD" : "GET" }),
    head: new LinesHead(method, target, authority, parts.headers ?? []),
    snapshot: { version: 7, epoch: "e", digest: "sha256-x", documents: [] } as unknown as Snapshot,
    startedAtMs: parts.startedAtMs ?? 1_000,
    connection: {
      remoteAddress: "10.0.0.9",
      localPort: 1,
      peer: null,
      encrypted: false,
      upstream: null,
      ...parts.connection,
    },
  });
}

export function makeEndpoint(address: string, kind: "closed" | "open" | "half-open" = "closed"): EndpointState {
  const [host = "", port = "0"] = address.split(":");
  const breaker = createBreaker();
  if (kind === "open") openByQuorum(breaker, 6_000, 0);
  if (kind === "half-open") breaker.current = { kind, probing: false, source: "local" };
  const record = {
    address,
    host,
    port: Number(port),
    instance: "orders-1",
    zone: null,
    weight: 1,
    identity: ordersPeer.id.text,
  };
  const endpoint = new EndpointState(record, breaker);
  endpoint.inFlight = 2;
  endpoint.latencyEwmaMs = 1.25;
  endpoint.isEjected = kind !== "closed";
  return endpoint;
}

export function makeCluster(service: string, endpoints: readonly EndpointState[] = []): Cluster {
  return { key: `default/${service}`, service, namespace: "default", endpoints, isKnown: true } as unknown as Cluster;
}

export function makeRoute(name: string): RouteDecision {
  return { rule: { name }, backend: {} } as unknown as RouteDecision;
}
