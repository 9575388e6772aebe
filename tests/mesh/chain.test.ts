import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Sidecar } from "../../src/sidecar.ts";
import { call, startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { eventually } from "../support/ports.ts";
import { startLoad } from "./_load.ts";

const header = (name: string, value: string): string =>
  `{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: ${name}, value: "${value}" }] } }`;

/** Two rules that always carry the same number: a request that saw both halves of different versions would show it. */
const numbered = (n: number): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: leaf }
spec: { parentRefs: [{ kind: Service, name: leaf }], rules: [{ filters: [${header("x-rule", String(n))}], backendRefs: [{ name: leaf, filters: [${header("x-backend", String(n))}] }] }] }
`;

describe("three services in a row", () => {
  let mesh: Mesh;
  const apps: App[] = [];
  const sidecars: Sidecar[] = [];
  let leaf: App;
  let isSick = false;

  before(async () => {
    mesh = await startMesh();
    leaf = await startApp("leaf", (_, response) => void response.writeHead(isSick ? 503 : 200).end("leaf"));
    const names = ["edge", "middle", "leaf"];
    for (const [i, name] of names.entries()) {
      const next = names[i + 1];
      // Each application asks the next through the sidecar beside it, and hands on what it gets.
      const app =
        next === undefined
          ? leaf
          : await startApp(name, (_, response) => {
              call(sidecars[i]!.ready.outbound, "/", { headers: { host: next } }).then(
                ({ status, body }) => response.writeHead(status).end(body),
                () => response.writeHead(502).end(),
              );
            });
      apps.push(app);
      sidecars.push(await mesh.sidecar(name, app));
    }
    for (const [i, next] of names.slice(1).entries()) {
      await eventually("the next one is known", async () => {
        const { body } = await call(sidecars[i]!.ready.admin, "/endpoints");
        return body.includes(`"${next}"`) && body.includes(sidecars[i + 1]!.ready.inbound);
      });
    }
  });
  after(async () => {
    await mesh.close();
    await Promise.all(apps.map((app) => app.close()));
  });

  it(
    "do not multiply a failure: a sick leaf gets at most half as much again (L33, I18)",
    { timeout: 30_000 },
    async () => {
      await mesh.apply(
        ["middle", "leaf"]
          .map(
            (name) => `
apiVersion: fetchmesh.dev/v1alpha1
kind: BackendPolicy
metadata: { name: ${name} }
spec: { targetRefs: [{ kind: Service, name: ${name} }], retryBudget: { percent: 20, minRetriesPerSecond: 0 }, breaker: { consecutiveFailures: 10000, minRequests: 1000000 } }
---`,
          )
          .join(""),
      );
      const ask = () => call(sidecars[0]!.ready.outbound, "/", { headers: { host: "middle" } });
      await eventually("it works", async () => (await ask()).body === "leaf");
      isSick = true;
      const before = leaf.seen.length;
      for (let i = 0; i < 200; i++) assert.equal((await ask()).status, 503);
      const load = leaf.seen.length - before;
      isSick = false;
      assert.ok(load >= 200 && load <= 300, `${load} requests at the leaf for 200 at the edge`);
    },
  );

  it(
    "see one version from the beginning of a request to its end, under fifty versions a second (I4)",
    { timeout: 30_000 },
    async () => {
      await mesh.apply(numbered(0));
      const ask = () => call(sidecars[1]!.ready.outbound, "/", { headers: { host: "leaf" } });
      await eventually("the route is live", async () => (await ask()).headers["x-rule"] !== undefined);
      const load = startLoad(sidecars[1]!.ready.outbound, "leaf", { pauseMs: 0 });
      const seen = new Set<string>();
      const over = { is: false };
      const looking = (async () => {
        for (let i = 0; i < 5_000 && !over.is; i++) {
          const { headers } = await ask();
          assert.equal(headers["x-rule"], headers["x-backend"]);
          seen.add(String(headers["x-rule"]));
        }
      })();
      for (let n = 1; n <= 100; n++) await mesh.apply(numbered(n));
      await eventually("the last is in force", async () => (await ask()).headers["x-rule"] === "100", 5_000);
      over.is = true;
      await looking;
      assert.equal((await load.stop()).failures, "");
      assert.ok(seen.size > 5, `${seen.size} versions seen`);
    },
  );
});
