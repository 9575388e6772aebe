/**
 * Composition root of the module for processes that have sockets: the outbound path of a sidecar inside an application on
 * Bun, Deno or Node, over mTLS and our own wire.
 */
import { systemClock } from "./clock.ts";
import { fetchAs } from "./control-fetch.ts";
import { httpStore } from "./control/http-store.ts";
import type { Store } from "./control/store.ts";
import { MeshError } from "./errors.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import { FollowedSource } from "./mesh-follow.ts";
import { assembleMesh, type Mesh, type MeshSelfOptions } from "./mesh-module.ts";
import { InlineSource, type InlineConfig } from "./mesh-source.ts";
import { peerDials } from "./peer-dial.ts";
import { randomHex } from "./random.ts";
import type { SocketTransport } from "./runtime/contract.ts";
import { currentRuntime } from "./runtime/current.ts";
import { sendOverWire } from "./transport/wire-transport.ts";
import { wireDefaults } from "./wire/message.ts";
import { ConnectionPool } from "./wire/pool.ts";
import { Sweeper } from "./wire/sweeper.ts";

export interface ProcessMeshOptions extends MeshSelfOptions {
  /**
   * Where config and endpoints come from: the URL of the control plane that knows `identity`, documents written inline, or a
   * store that the application opened and closes.
   */
  readonly store: string | InlineConfig | Store;
  /** Who this process is. Without it only endpoints that need prove nothing can be called. Closed by whoever acquired it. */
  readonly identity?: WorkloadCertificate;
  /** @default nodeTransport() */
  readonly transport?: SocketTransport;
}

/**
 * A mesh whose `fetch` speaks mTLS. Keeps a connection for news of its store until closed.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if the store is none; documents are checked by `ready` and the first `fetch`
 */
export function createMesh(options: ProcessMeshOptions): Mesh {
  const { service, store, identity = null, transport = currentRuntime().transport, clock = systemClock } = options;
  const pool = new ConnectionPool({ transport, limits: wireDefaults, clock, sweeper: new Sweeper(clock) });
  const control = typeof store === "string" ? openControl(store, identity, options) : null;
  const opened = control?.store ?? (isStore(store) ? store : null);
  return assembleMesh(options, {
    send: () => sendOverWire({ pool, clock, dial: peerDials(clock, () => identity) }),
    openSource: (parts) =>
      opened === null
        ? new InlineSource(store as InlineConfig, parts.mesh, parts.onChange)
        : new FollowedSource({ ...parts, store: opened, ownsStore: control !== null }),
    provesPeers: true,
    // A control plane takes votes of registered instances only, which a module is not.
    votes: isStore(store) ? store.breaker : null,
    voter: `${service}-${randomHex(2)}`,
    close() {
      pool.close();
      control?.close();
    },
  });
}

function openControl(
  url: string,
  identity: WorkloadCertificate | null,
  options: ProcessMeshOptions,
): { store: Store; close(): void } {
  const { transport = currentRuntime().transport, clock = systemClock, random } = options;
  if (!url.startsWith("https://") || !URL.canParse(url)) {
    throw new MeshError("ERR_OPTION_INVALID", `"${url}" is not the URL of a control plane`, {
      advice: "Give https://HOST:PORT, documents, or a store that the application opened",
    });
  }
  if (identity === null) {
    throw new MeshError(
      "ERR_OPTION_INVALID",
      `The control plane at ${url} has to know who asks, and no identity is given`,
      {
        advice:
          "Get one with acquireIdentity({ service, control, token }), or take createMesh of fetchmesh with a reader token",
      },
    );
  }
  const fetch = fetchAs(identity, transport, clock);
  const store = httpStore({ control: url, fetch, clock, ...(random !== undefined && { random }) });
  return { store, close: () => fetch.close() };
}

function isStore(store: ProcessMeshOptions["store"]): store is Store {
  return typeof store === "object" && "config" in store;
}
