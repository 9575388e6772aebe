/** A whole mesh in one process, over real sockets and real TLS: control plane, sidecars, applications. */
import {
  createServer,
  request as httpRequest,
  type Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { systemClock } from "../../src/clock.ts";
import { applyDocuments } from "../../src/control/publish.ts";
import { createControlPlane, type ControlPlane } from "../../src/control/plane.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import { serviceKey } from "../../src/control/snapshot.ts";
import type { Store } from "../../src/control/store.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { createSidecar, type Sidecar, type SidecarOptions } from "../../src/sidecar.ts";
import { wireFetch } from "../../src/transport/wire-fetch.ts";
import { tempDir } from "./ports.ts";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string;
  readonly agent?: Agent;
}

/** Sends one plain request, as an application does through its outbound port. */
export function call(address: string, path: string, options: CallOptions = {}): Promise<Reply> {
  const colon = address.lastIndexOf(":");
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: address.slice(0, colon),
        port: Number(address.slice(colon + 1)),
        path,
        method: options.method ?? "GET",
        headers: options.headers ?? {},
        ...(options.agent !== undefined && { agent: options.agent }),
      },
      (response) => {
        let body = "";
        response.setEncoding("latin1");
        response.on("data", (piece: string) => (body += piece));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
        response.on("error", reject);
        response.on("aborted", () => reject(new Error("response aborted")));
      },
    );
    request.on("error", reject);
    request.end(options.body);
  });
}

export interface App {
  readonly host: string;
  readonly port: number;
  /** Requests that arrived. */
  readonly seen: { readonly method: string; readonly url: string; readonly headers: IncomingHttpHeaders }[];
  readonly server: Server;
  close(): Promise<void>;
}

/** An application that knows nothing of the mesh; answers with its name unless told otherwise. */
export async function startApp(
  name: string,
  answer?: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<App> {
  const seen: App["seen"] = [];
  const server = createServer((request, response) => {
    seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    if (answer !== undefined) return answer(request, response);
    request.resume();
    request.on("end", () => response.end(name));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    seen,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface Mesh {
  readonly plane: ControlPlane;
  readonly store: Store;
  /** A sidecar on free loopback ports, joined with a token of its own. */
  sidecar(service: string, app: Pick<App, "host" | "port">, options?: Partial<SidecarOptions>): Promise<Sidecar>;
  token(service: string): Promise<string>;
  /** Publishes YAML as an operator; throws with the problems if it is refused. */
  apply(text: string): Promise<number>;
  /** JSON log lines of every sidecar so far. */
  readonly logs: string[];
  close(): Promise<void>;
}

export async function startMesh(options: { readonly certTtlMs?: number; readonly store?: Store } = {}): Promise<Mesh> {
  const { transport, files } = currentRuntime();
  const dir = tempDir("mesh");
  const store = options.store ?? memoryStore();
  const plane = await createControlPlane({
    store,
    listen: { host: "127.0.0.1", port: 0 },
    mesh: "default",
    trustDomain: "mesh.local",
    dir: dir.path,
    transport,
    files,
    clock: systemClock,
    random: Math.random,
    ...(options.certTtlMs !== undefined && { certTtlMs: options.certTtlMs }),
  });
  const sidecars: Sidecar[] = [];
  const logs: string[] = [];
  const operator = wireFetch(transport, { tls: { trust: { rootsPem: [plane.rootPem] } } });
  const token = async (service: string): Promise<string> => {
    const response = await operator(
      new Request(`${plane.address}/v1/tokens`, {
        method: "POST",
        headers: { authorization: `Bearer ${plane.operatorToken}`, "content-type": "application/json" },
        body: JSON.stringify({ service, namespace: "default", ttlMs: 60_000, kind: "join" }),
      }),
    );
    return ((await response.json()) as { token: string }).token;
  };
  const free = { host: "127.0.0.1", port: 0 };
  return {
    plane,
    store,
    logs,
    token,
    async sidecar(service, app, more = {}) {
      const sidecar = await createSidecar({
        service,
        app: { host: app.host, port: app.port },
        control: plane.address,
        token: await token(service),
        store,
        outbound: free,
        inbound: free,
        admin: free,
        health: free,
        log: (line) => void logs.push(line),
        ...more,
      });
      sidecars.push(sidecar);
      return sidecar;
    },
    async apply(text) {
      const instances = await store.registry.instances();
      const known = new Set(instances.map(({ namespace, service }) => serviceKey(namespace, service)));
      const result = await applyDocuments(
        plane.publisher,
        [{ file: "test.yaml", text }],
        { author: "test", message: "test" },
        known,
      );
      if ("problems" in result && result.problems.some(({ severity }) => severity === "error"))
        throw new Error(JSON.stringify(result.problems));
      return (result as { version: number }).version;
    },
    async close() {
      await Promise.all(sidecars.map((sidecar) => sidecar.close()));
      operator.close();
      await plane.close();
      dir.remove();
    },
  };
}
