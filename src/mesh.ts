/**
 * Composition root of the module: the outbound path of a sidecar over the platform's `fetch`, for edge workers and wherever
 * else sockets are not ours. Where they are, `fetchmesh/sidecar` has a `createMesh` that speaks mTLS.
 *
 * @module
 */
import { MeshError } from "./errors.ts";
import { assembleMesh, type Mesh, type MeshSelfOptions } from "./mesh-module.ts";
import { InlineSource, PulledSource, type InlineConfig } from "./mesh-source.ts";
import type { FetchTransport } from "./runtime/contract.ts";
import { fetchTransport } from "./runtime/fetch-transport.ts";
import { sendOverFetch } from "./transport/send-over-fetch.ts";

export type { Mesh, MeshFetchInit } from "./mesh-module.ts";

export interface MeshOptions extends MeshSelfOptions {
  /** Where config and endpoints come from: the URL of a control plane, asked as requests come, or documents written inline. */
  readonly store: string | InlineConfig;
  /** Reader token for the control plane: `fetchmesh token create --kind reader --service NAME`. */
  readonly token?: string;
  /** How the control plane is called, where the platform's `fetch` does not know its root (a binding). @default `fetch` */
  readonly controlFetch?: (request: Request) => Promise<Response>;
  /** Config older than this is looked up again, by the request that notices. @default 10000 */
  readonly refreshMs?: number;
  /** @default fetchTransport() */
  readonly transport?: FetchTransport;
}

/** @throws {MeshError} ERR_OPTION_INVALID if the store is none; documents are checked by `ready` and the first `fetch` */
export function createMesh(options: MeshOptions): Mesh {
  const { service, store, token = null, refreshMs = 10_000, transport = fetchTransport() } = options;
  const controlFetch = options.controlFetch ?? ((request: Request) => globalThis.fetch(request));
  if (typeof store === "string") requireControlUrl(store);
  return assembleMesh(options, {
    send: (clock) => sendOverFetch({ transport, clock }),
    openSource: (parts) =>
      typeof store === "string"
        ? new PulledSource({ ...parts, url: store, token, fetch: controlFetch, refreshMs })
        : new InlineSource(store, parts.mesh, parts.onChange),
    provesPeers: false,
    // Workers forbid randomness outside a request, and keep no connection to tell others on.
    votes: null,
    voter: service,
  });
}

function requireControlUrl(url: string): void {
  if (/^https?:\/\//.test(url) && URL.canParse(url)) return;
  throw new MeshError("ERR_OPTION_INVALID", `"${url}" is not the URL of a control plane`, {
    advice: "Give https://HOST:PORT, or documents: { documents: [{ apiVersion, kind, … }] }",
  });
}
