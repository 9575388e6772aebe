/**
 * Two sidecars and no control plane: `web` calls `orders`, behind which stands an upstream that keeps every byte. The CA is the
 * test's own, so that it can make any certificate, also those no authority would.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { applyDocuments } from "../../src/control/publish.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import { serviceKey } from "../../src/control/snapshot.ts";
import { parsePrometheus } from "../../src/observe/prometheus-text.ts";
import { createSidecar, type Sidecar, type SidecarOptions } from "../../src/sidecar.ts";
import { makeCa, makeServiceLeaf, type TestCa, type TestLeaf } from "../support/certificates.ts";
import { call } from "../support/mesh.ts";
import { eventually, tempDir } from "../support/ports.ts";
import { rawClient, rawUpstream, type RawClient, type RawUpstream } from "../support/raw.ts";

export interface Rig {
  readonly ca: TestCa;
  readonly upstream: RawUpstream;
  readonly web: Sidecar;
  readonly orders: Sidecar;
  /** The certificate of `web`, for raw clients at the inbound port. */
  readonly peer: TestLeaf;
  readonly logs: string[];
  sidecar(
    service: string,
    app: { readonly host: string; readonly port: number },
    more?: Partial<SidecarOptions>,
  ): Promise<Sidecar>;
  /** A raw connection to the outbound port of `web`, plain, or to the inbound port of `orders`, as `web`. */
  open(door: Door): Promise<RawClient>;
  apply(text: string): Promise<number>;
  /** Sum of a counter of `sidecar`. */
  count(sidecar: Sidecar, name: string, labels?: Record<string, string>): Promise<number>;
  close(): Promise<void>;
}

export type Door = "outbound" | "inbound";
export const doors: readonly Door[] = ["outbound", "inbound"];

export async function startRig(options: Partial<SidecarOptions> = {}): Promise<Rig> {
  const ca = await makeCa();
  const store = memoryStore();
  const folders: { remove(): void }[] = [];
  const sidecars: Sidecar[] = [];
  const logs: string[] = [];
  const upstream = await rawUpstream();
  const free = { host: "127.0.0.1", port: 0 };

  const sidecar: Rig["sidecar"] = async (service, app, more = {}) => {
    const folder = tempDir("svid");
    folders.push(folder);
    const { identity } = await makeServiceLeaf(ca, service);
    writeFileSync(join(folder.path, "svid.pem"), identity.certificateChainPem);
    writeFileSync(join(folder.path, "svid_key.pem"), identity.privateKeyPem);
    writeFileSync(join(folder.path, "bundle.pem"), ca.certificatePem);
    const made = await createSidecar({
      service,
      app: { host: app.host, port: app.port },
      store,
      svidDir: folder.path,
      outbound: free,
      inbound: free,
      admin: free,
      health: free,
      log: (line) => void logs.push(line),
      ...options,
      ...more,
    });
    sidecars.push(made);
    return made;
  };

  const web = await sidecar("web", upstream);
  const orders = await sidecar("orders", upstream);
  const peer = await makeServiceLeaf(ca, "web");
  await knows(web, orders);
  const publisher = { store, mesh: "default", clock: systemClock };
  return {
    ca,
    upstream,
    web,
    orders,
    peer,
    logs,
    sidecar,
    open: (door) =>
      door === "outbound"
        ? rawClient(web.ready.outbound)
        : rawClient(orders.ready.inbound, { tls: { identity: peer.identity, trust: ca.trust } }),
    async apply(text) {
      const known = new Set(
        (await store.registry.instances()).map(({ namespace, service }) => serviceKey(namespace, service)),
      );
      const result = await applyDocuments(
        publisher,
        [{ file: "attack.yaml", text }],
        { author: "test", message: "test" },
        known,
      );
      if ("refused" in result) throw new Error(JSON.stringify(result.refused));
      const { version } = result;
      for (const one of sidecars)
        await eventually(`version ${version} applied`, async () => (await appliedVersion(one)) >= version);
      return version;
    },
    async count(one, name, labels = {}) {
      return parsePrometheus((await call(one.ready.admin, "/metrics")).body).sum(name, labels);
    },
    async close() {
      await Promise.all(sidecars.map((one) => one.close()));
      await upstream.close();
      for (const folder of folders) folder.remove();
    },
  };
}

/** Resolves once `caller` has heard of `callee`. */
export async function knows(caller: Sidecar, callee: Sidecar): Promise<void> {
  await eventually("the endpoint is known", async () =>
    (await call(caller.ready.admin, "/endpoints")).body.includes(callee.ready.inbound),
  );
}

async function appliedVersion(sidecar: Sidecar): Promise<number> {
  return (JSON.parse((await call(sidecar.ready.admin, "/config")).body) as { version: number }).version;
}
