/** A real control plane on a real port, and members of its mesh with real certificates. */
import { systemClock } from "../../src/clock.ts";
import { httpStore } from "../../src/control/http-store.ts";
import { createControlPlane, type ControlPlane, type ControlPlaneOptions } from "../../src/control/plane.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import type { Store } from "../../src/control/store.ts";
import { createKeyAndCsr } from "../../src/identity/csr.ts";
import { controlTls } from "../../src/identity/control-tls.ts";
import { meshId } from "../../src/identity/spiffe-id.ts";
import { systemRandom } from "../../src/random.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { TlsIdentity } from "../../src/runtime/contract.ts";
import { wireFetch } from "../../src/transport/wire-fetch.ts";
import type { WireFetch } from "../../src/transport/wire-options.ts";
import { tempDir } from "../support/ports.ts";

export interface TestPlane {
  readonly plane: ControlPlane;
  readonly dir: string;
  readonly store: Store;
  /** Without a certificate; trusts the mesh's root alone. */
  readonly anonymous: WireFetch;
  /** As this service, with a certificate that was joined for. */
  joined(service: string): Promise<WireFetch>;
  member(service: string): Promise<Store>;
  operator(): Store;
  call(
    method: string,
    path: string,
    body?: unknown,
    fetch?: WireFetch,
  ): Promise<{ status: number; body: Record<string, unknown> }>;
  close(): Promise<void>;
}

const { transport, files } = currentRuntime();

export async function startPlane(over: Partial<ControlPlaneOptions> = {}): Promise<TestPlane> {
  const folder = tempDir("fetchmesh-plane");
  const store = over.store ?? memoryStore();
  const options: ControlPlaneOptions = {
    store,
    listen: { host: "127.0.0.1", port: 0 },
    mesh: "default",
    trustDomain: "mesh.local",
    dir: `${folder.path}/context`,
    transport,
    files,
    clock: systemClock,
    random: systemRandom,
    ...over,
  };
  const plane = await createControlPlane(options);
  const trust = { rootsPem: [plane.rootPem] };
  const fetches: WireFetch[] = [];
  const made = (identity: TlsIdentity | null): WireFetch => {
    const fetch = wireFetch(transport, { tls: controlTls(trust, options.trustDomain, systemClock, identity) });
    fetches.push(fetch);
    return fetch;
  };
  const anonymous = made(null);
  const call: TestPlane["call"] = async (method, path, body, fetch) => {
    const headers: Record<string, string> =
      fetch === undefined ? { authorization: `Bearer ${plane.operatorToken}` } : {};
    const init: RequestInit = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const response = await (fetch ?? anonymous)(new Request(plane.address + path, init));
    const text = await response.text();
    return {
      status: response.status,
      body: text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : { text },
    };
  };
  const joined = async (service: string): Promise<WireFetch> => {
    const { token } = (await call("POST", "/v1/tokens", { service })).body;
    const { privateKeyPem, csrPem } = await createKeyAndCsr(meshId(options.trustDomain, "default", service));
    const reply = await call("POST", "/v1/join", { token, csr: csrPem }, anonymous);
    if (reply.status !== 200) throw new Error(JSON.stringify(reply));
    return made({ certificateChainPem: String(reply.body["chainPem"]), privateKeyPem });
  };
  return {
    plane,
    store,
    anonymous,
    call,
    joined,
    dir: options.dir,
    member: async (service) => httpStore({ control: plane.address, fetch: await joined(service) }),
    operator: () => httpStore({ control: plane.address, fetch: anonymous, token: plane.operatorToken }),
    async close() {
      for (const fetch of fetches) fetch.close();
      await plane.close();
      folder.remove();
    },
  };
}
