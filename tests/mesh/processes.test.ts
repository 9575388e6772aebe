import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { call, startApp, type App } from "../support/mesh.ts";
import { delay, eventually, freePort, tempDir, type TempDir } from "../support/ports.ts";
import { runFetchmesh, startFetchmesh, type MeshProcess } from "../support/processes.ts";
import { startLoad } from "./_load.ts";

const free = ["outbound", "inbound", "inbound-h2", "admin", "health"].flatMap((port) => [`--${port}`, "127.0.0.1:0"]);

interface Ready {
  readonly outbound: string;
  readonly inbound: string;
  readonly admin: string;
  readonly health: string;
}

describe("a mesh of processes", () => {
  let folder: TempDir;
  let dir: string;
  let listen: string;
  let control: MeshProcess;
  let app: App;
  let web: Ready;
  let orders: Ready;
  let ordersProcess: MeshProcess;
  /** Replies that a request to `/slow` waits for. */
  const waiting: ServerResponse[] = [];
  const started: MeshProcess[] = [];
  const start = (args: readonly string[]): MeshProcess => {
    const child = startFetchmesh(args);
    started.push(child);
    return child;
  };
  const startControl = async (): Promise<MeshProcess> => {
    const child = start(["control", "--dir", dir, "--listen", listen]);
    await child.ready();
    return child;
  };
  const token = async (service: string): Promise<string> => {
    const { code, stdout, stderr } = await runFetchmesh(["token", "create", "--dir", dir, "--service", service]);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  };
  const sidecarArgs = (service: string, joinToken: string): string[] => [
    "sidecar",
    "--control",
    `https://${listen}`,
    "--token",
    joinToken,
    "--service",
    service,
    "--app",
    `127.0.0.1:${app.port}`,
    ...free,
  ];

  before(async () => {
    folder = tempDir("mesh-processes");
    dir = join(folder.path, "context");
    listen = `127.0.0.1:${await freePort()}`;
    app = await startApp("orders", (request, response) => {
      if (request.url === "/slow") waiting.push(response);
      else response.end("orders");
    });
    control = await startControl();
    const [webToken, ordersToken] = await Promise.all([token("web"), token("orders")]);
    const webProcess = start(sidecarArgs("web", webToken));
    ordersProcess = start(sidecarArgs("orders", ordersToken));
    web = (await webProcess.ready()) as unknown as Ready;
    orders = (await ordersProcess.ready()) as unknown as Ready;
    await eventually("web knows orders", async () =>
      (await call(web.admin, "/endpoints")).body.includes(orders.inbound),
    );
  });
  after(async () => {
    await Promise.all(started.map((child) => child.stop()));
    await app.close();
    folder.remove();
  });

  it(
    "a join token works once, for the service in it, and the sidecar that is refused says why and exits with 1 (A-28)",
    { timeout: 30_000 },
    async () => {
      const once = await token("billing");
      const first = start(sidecarArgs("billing", once));
      await first.ready();
      const [second, other] = await Promise.all([
        runFetchmesh(sidecarArgs("billing", once)),
        runFetchmesh(sidecarArgs("admin", await token("reports"))),
      ]);
      assert.deepEqual([second.code, second.stdout], [1, ""]);
      assert.match(second.stderr, /used/i);
      assert.deepEqual([other.code, other.stdout], [1, ""]);
      assert.match(other.stderr, /reports/);
      assert.match(other.stderr, /admin/);
      for (const { stderr } of [second, other])
        assert.ok(!stderr.includes(once) && !/\n\s+at /.test(stderr), "no token, no stack in a message");
      assert.equal(await first.stop(), 0);
    },
  );

  it("goes on while its control plane is killed, and finds it again (I1)", { timeout: 60_000 }, async () => {
    const load = startLoad(web.outbound, "orders");
    control.signal("SIGKILL");
    await control.exit;
    await delay(1_500);
    assert.equal((await call(web.admin, "/ready")).status, 200);
    control = await startControl();
    await eventually(
      "both have reported again",
      async () => {
        const { stdout } = await runFetchmesh(["status", "--dir", dir, "-o", "json"]);
        const { sidecars } = JSON.parse(stdout) as { sidecars: { service: string; lastSeenMs: number }[] };
        return ["web", "orders"].every((service) => sidecars.some((one) => one.service === service));
      },
      25_000,
      500,
    );
    const { sent, failures } = await load.stop();
    assert.equal(failures, "");
    assert.ok(sent > 100, String(sent));
  });

  it(
    "lets what is in flight finish on SIGTERM, takes nothing new, and exits with 0 (A-50)",
    { timeout: 30_000 },
    async () => {
      const inFlight = call(web.outbound, "/slow", { method: "POST", body: "x", headers: { host: "orders" } });
      await eventually("the application has it", () => waiting.length === 1);
      ordersProcess.signal("SIGTERM");
      await eventually(
        "it is not ready any more",
        async () => (await call(orders.health, "/readyz")).status === 503,
        3_000,
        10,
      );
      const [host = "", port] = orders.inbound.split(":");
      await eventually(
        "its port is closed",
        () =>
          new Promise<boolean>((resolve) => {
            const socket = connect(Number(port), host);
            socket.on("connect", () => (socket.destroy(), resolve(false)));
            socket.on("error", () => resolve(true));
          }),
        5_000,
      );
      const refused = await call(web.outbound, "/", { headers: { host: "orders" } });
      assert.ok(refused.status === 503 || refused.status === 404, String(refused.status));
      waiting[0]!.end("finished");
      const reply = await inFlight;
      assert.deepEqual([reply.status, reply.body], [200, "finished"]);
      const { code, stdout } = await ordersProcess.exit;
      assert.equal(code, 0);
      assert.equal(stdout.split("\n").length, 1, "one line on stdout");
    },
  );
});
