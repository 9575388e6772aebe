import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, request } from "node:http";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { delay, eventually, freePort } from "../support/ports.ts";
import { type MeshProcess, type ProcessOptions, runFetchmesh, startFetchmesh } from "../support/processes.ts";
import { freePorts } from "./_free-ports.ts";

/** Prints its environment as JSON, on whichever runtime. */
const printEnvironment = ["sh", "-c", "env"];

describe("long-running verbs", () => {
  const directory = mkdtempSync(join(tmpdir(), "fetchmesh-long-"));
  const dir = join(directory, "context");
  const started: MeshProcess[] = [];
  /** Whatever a test does not get to stop is stopped in the end. */
  const start = (args: readonly string[], options: ProcessOptions = {}): MeshProcess => {
    const process = startFetchmesh(args, options);
    started.push(process);
    return process;
  };
  let control = "";

  before(async () => {
    const dev = start(["dev", "--dir", dir, "--listen", "127.0.0.1:0"]);
    control = String((await dev.ready())["control"]);
  });
  after(async () => {
    await Promise.all(started.map((process) => process.stop()));
    rmSync(directory, { recursive: true });
  });

  const listening = async (): Promise<{ server: Server; address: string }> => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { server, address: `127.0.0.1:${(server.address() as { port: number }).port}` };
  };

  it("say which port is taken, and exit with 1", async () => {
    const { server, address } = await listening();
    try {
      const plane = await runFetchmesh(["control", "--dir", join(directory, "taken"), "--listen", address]);
      assert.equal(plane.code, 1);
      assert.match(plane.stderr, new RegExp(address));
      for (const flag of ["--outbound", "--inbound", "--admin", "--health"]) {
        const flags = freePorts.map((word, index) => (freePorts[index - 1] === flag ? address : word));
        const sidecar = await runFetchmesh([
          "sidecar",
          "--dir",
          dir,
          "--service",
          "orders",
          "--app",
          "127.0.0.1:9",
          ...flags,
        ]);
        assert.equal(sidecar.code, 1, flag);
        assert.equal(sidecar.stdout, "");
        const last = JSON.parse(sidecar.stderr.trim().split("\n").at(-1)!);
        assert.equal(last.level, "error");
        assert.match(last.message, new RegExp(address));
      }
    } finally {
      server.close();
    }
  });

  it("wait for a store that cannot be reached, say so, and stop when asked", async () => {
    const port = await freePort();
    const health = `127.0.0.1:${await freePort()}`;
    const flags = freePorts.map((word, index) => (freePorts[index - 1] === "--health" ? health : word));
    const store = `redis://127.0.0.1:${port}`;
    const sidecar = start([
      "sidecar",
      "--dir",
      dir,
      "--store",
      store,
      "--service",
      "orders",
      "--app",
      "127.0.0.1:9",
      ...flags,
    ]);
    const plane = start(["control", "--dir", join(directory, "waiting"), "--store", store, "--listen", "127.0.0.1:0"]);
    await sidecar.line("not ready: the store cannot be reached");
    await plane.line("not ready: the store cannot be reached");
    assert.deepEqual(sidecar.stdout, []);
    assert.deepEqual(plane.stdout, []);
    assert.equal((await get(health, "/livez")).status, 200);
    assert.equal((await get(health, "/readyz")).status, 503);
    assert.equal(await sidecar.stop(), 0);
    assert.equal(await plane.stop(), 0);
  });

  it("need an identity: without context, token or svid directory the reason is told", async () => {
    const args = [
      "sidecar",
      "--service",
      "orders",
      "--app",
      "127.0.0.1:9",
      "--dir",
      join(directory, "none"),
      ...freePorts,
    ];
    const nothing = await runFetchmesh(args);
    assert.equal(nothing.code, 1);
    assert.match(nothing.stderr, /--control/);
    const noToken = await runFetchmesh([...args, "--control", control]);
    assert.equal(noToken.code, 1);
    assert.match(noToken.stderr, /--token/);
  });

  it("refuse a token that is expired, or none at all", async () => {
    const { stdout } = await runFetchmesh(["token", "create", "--dir", dir, "--service", "orders", "--ttl", "1s"]);
    await delay(2_100);
    const file = join(directory, "expired");
    writeFileSync(file, stdout);
    const args = ["sidecar", "--control", control, "--service", "orders", "--app", "127.0.0.1:9", ...freePorts];
    const expired = await runFetchmesh([...args, "--token-file", file]);
    assert.equal(expired.code, 1);
    assert.match(expired.stderr, /expired/);
    const garbage = await runFetchmesh([...args, "--token", "not-a-token"]);
    assert.equal(garbage.code, 1);
    assert.match(garbage.stderr, /token is refused/);
  });

  it("take their settings from flags, environment and file, in that order", async () => {
    const config = join(directory, "sidecar.yaml");
    writeFileSync(config, "service: from-file\nnamespace: shop\nzone: z1\napp: 127.0.0.1:9\noutbound: 127.0.0.1:0\n");
    const env = { FETCHMESH_CONFIG: config, FETCHMESH_SERVICE: "from-env", FETCHMESH_NAMESPACE: "store" };
    const sidecar = start(["sidecar", "--dir", dir, "--service", "from-flag", ...freePorts.slice(2)], { env });
    const ready = await sidecar.ready();
    assert.equal(ready["spiffeId"], "spiffe://mesh.local/ns/store/sa/from-flag");
    assert.equal(await sidecar.stop(), 0);
  });

  it("refuse a config file with a misspelt key, and one that is not YAML, with 2", async () => {
    const config = join(directory, "wrong.yaml");
    writeFileSync(config, "servce: orders\n");
    const misspelt = await runFetchmesh(["sidecar", "--config", config]);
    assert.equal(misspelt.code, 2);
    assert.match(misspelt.stderr, /wrong\.yaml:1:1: error FM0101: unknown key "servce" \(did you mean "service"\?\)/);
    writeFileSync(config, "service: [orders\n");
    const broken = await runFetchmesh(["sidecar", "--config", config]);
    assert.equal(broken.code, 2);
    assert.match(broken.stderr, /wrong\.yaml:\d+:\d+: error FM0001/);
    const nonsense = await runFetchmesh(["sidecar", "--service", "orders", "--app", "8080"]);
    assert.equal(nonsense.code, 2);
    assert.match(nonsense.stderr, /--app: "8080": expected HOST:PORT/);
  });

  it("answer 503 with the address while the application is not up, and serve it once it is", async () => {
    const app = `127.0.0.1:${await freePort()}`;
    const sidecar = start(["sidecar", "--dir", dir, "--service", "late", "--app", app, ...freePorts]);
    const outbound = String((await sidecar.ready())["outbound"]);
    const early = await eventually("the registration", async () => {
      const reply = await get(outbound, "/", "late");
      return reply.status !== 404 && reply;
    });
    assert.equal(early.status, 503);
    assert.equal(early.headers["x-mesh-flag"], "UF");
    assert.match(early.body, new RegExp(app));
    const server = createHttpServer((_, response) => response.end("up"));
    await new Promise<void>((resolve) => server.listen(Number(app.split(":")[1]), "127.0.0.1", resolve));
    await eventually("the application", async () => (await get(outbound, "/", "late")).body === "up");
    server.closeAllConnections();
    server.close();
    assert.equal(await sidecar.stop(), 0);
  });

  it("drain when the terminal they were started from is closed (SIGHUP)", async () => {
    const sidecar = start(["sidecar", "--dir", dir, "--service", "closed", "--app", "127.0.0.1:9", ...freePorts]);
    await sidecar.ready();
    sidecar.signal("SIGHUP");
    await sidecar.line("stopped");
    assert.equal((await sidecar.exit).code, 0);
  });

  it("exit at once on a second signal", async () => {
    // A request that never ends keeps the drain waiting.
    const server = createHttpServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const app = `127.0.0.1:${(server.address() as { port: number }).port}`;
    const sidecar = start(["sidecar", "--dir", dir, "--service", "stuck", "--app", app, ...freePorts]);
    const outbound = String((await sidecar.ready())["outbound"]);
    // Until its own registration has come back to it, the sidecar knows no such service.
    const hang = async (): Promise<void> => {
      while ((await get(outbound, "/", "stuck")).status === 404) await delay(20);
    };
    const hanging = hang().catch(() => null);
    await eventually(
      "the request",
      () => new Promise<boolean>((resolve) => server.getConnections((_, count) => resolve(count > 0))),
    );
    sidecar.signal("SIGTERM");
    await sidecar.line("draining");
    await delay(200);
    const startedAtMs = performance.now();
    sidecar.signal("SIGTERM");
    await sidecar.exit;
    assert.ok(performance.now() - startedAtMs < 5_000);
    await hanging;
    server.closeAllConnections();
    server.close();
  });

  it("leave the registry at once when they drain", async () => {
    const sidecar = start(["sidecar", "--dir", dir, "--service", "leaver", "--app", "127.0.0.1:9", ...freePorts]);
    await sidecar.ready();
    assert.equal(await sidecar.stop(), 0);
    const { stdout } = await runFetchmesh(["status", "--dir", dir, "-o", "json"]);
    assert.ok(!stdout.includes("leaver"), stdout);
  });
});

describe("run", () => {
  const directory = mkdtempSync(join(tmpdir(), "fetchmesh-run-"));
  const dir = join(directory, "context");
  const started: MeshProcess[] = [];
  const start = (args: readonly string[]): MeshProcess => {
    const process = startFetchmesh(args);
    started.push(process);
    return process;
  };
  const run = (args: readonly string[], command: readonly string[]) =>
    runFetchmesh(["run", "--dir", dir, ...args, "--", ...command]);

  before(async () => {
    const dev = start(["dev", "--dir", dir, "--listen", "127.0.0.1:0"]);
    await dev.ready();
  });
  after(async () => {
    await Promise.all(started.map((process) => process.stop()));
    rmSync(directory, { recursive: true });
  });

  it("gives the command what it needs to call through the sidecar", async () => {
    const { code, stdout } = await run(["--service", "web", "--port", "4567"], printEnvironment);
    assert.equal(code, 0);
    const [readyLine = "", ...lines] = stdout.split("\n");
    const ready = JSON.parse(readyLine);
    assert.equal(ready.event, "ready");
    const environment = new Map(
      lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    assert.equal(environment.get("HTTP_PROXY"), `http://${ready.outbound}`);
    assert.equal(environment.get("http_proxy"), `http://${ready.outbound}`);
    assert.match(environment.get("NO_PROXY") ?? "", /127\.0\.0\.1/);
    assert.equal(environment.get("PORT"), "4567");
    assert.equal(environment.get("FETCHMESH_SERVICE"), "web");
    assert.equal(environment.get("FETCHMESH_ADMIN"), ready.admin);
    assert.equal(environment.has("FETCHMESH_TOKEN"), false);
  });

  it("exits with the command's code", async () => {
    assert.equal((await run(["--service", "web"], ["sh", "-c", "exit 7"])).code, 7);
    assert.equal((await run(["--service", "web"], ["/nowhere/at-all"])).code, 127);
  });

  it("says that the command is missing, with 2", async () => {
    const exit = await run(["--service", "web"], []);
    assert.equal(exit.code, 2);
    assert.match(exit.stderr, /which command/);
  });

  it("hands a signal on to the command and drains after it", async () => {
    const trace = join(directory, "trace");
    const script = `trap 'echo stopped > ${trace}; exit 3' TERM; while :; do sleep 0.05; done`;
    const running = start(["run", "--dir", dir, "--service", "web", "--", "sh", "-c", script]);
    await running.ready();
    await delay(300);
    running.signal("SIGTERM");
    assert.equal((await running.exit).code, 3);
    assert.equal(readFileSync(trace, "utf8"), "stopped\n");
  });

  it("carries a call of one command to the server of another", async () => {
    const server = createHttpServer((incoming, response) =>
      response.end(`stock for ${String(incoming.headers["x-forwarded-client-cert"])}`),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const port = String((server.address() as { port: number }).port);
    const inventory = start(["run", "--dir", dir, "--service", "inventory", "--port", port, "--", "sleep", "60"]);
    await inventory.ready();
    const { stdout } = await run(["--service", "web"], ["curl", "-sS", "http://inventory/"]);
    assert.match(stdout, /stock for .*URI=spiffe:\/\/mesh\.local\/ns\/default\/sa\/web/);
    await inventory.stop();
    server.closeAllConnections();
    server.close();
  });
});

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

function get(address: string, path: string, host = address): Promise<Reply> {
  const [hostname, port] = address.split(":");
  return new Promise((resolve, reject) => {
    const outgoing = request({ hostname, port, path, headers: { host } }, (incoming) => {
      let body = "";
      incoming.on("data", (chunk) => (body += chunk));
      incoming.on("error", reject);
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body }));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}
