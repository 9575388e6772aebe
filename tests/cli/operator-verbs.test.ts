import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type MeshProcess, type ReadyLine, runFetchmesh, startFetchmesh } from "../support/processes.ts";
import { freePorts } from "./_free-ports.ts";

const route = (backends: string, version = "gateway.networking.k8s.io/v1"): string => `apiVersion: ${version}
kind: HTTPRoute
metadata:
  name: orders
spec:
  parentRefs:
    - kind: Service
      name: orders
  rules:
    - backendRefs: ${backends}
`;

/** One mesh for all: a control plane, and one service with its sidecar. */
describe("the operator's verbs", () => {
  const directory = mkdtempSync(join(tmpdir(), "fetchmesh-cli-"));
  const dir = join(directory, "context");
  /** Whatever a test did not get to stop. */
  const started: MeshProcess[] = [];
  const start = (args: readonly string[]): MeshProcess => {
    const process = startFetchmesh(args);
    started.push(process);
    return process;
  };
  let dev: MeshProcess;
  let sidecar: MeshProcess;
  let devReady: ReadyLine;
  let sidecarReady: ReadyLine;
  let app: Server;

  const run = (...args: string[]) => runFetchmesh([...args, "--dir", dir]);
  const json = async (...args: string[]) => {
    const exit = await run(...args, "-o", "json");
    return { code: exit.code, stderr: exit.stderr, value: JSON.parse(exit.stdout) };
  };
  const file = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };

  before(async () => {
    app = createServer((incoming, response) =>
      response.end(`hello ${incoming.url} ${String(incoming.headers["x-forwarded-client-cert"])}`),
    );
    await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
    dev = start(["dev", "--dir", dir, "--listen", "127.0.0.1:0"]);
    devReady = await dev.ready();
    const address = `127.0.0.1:${(app.address() as { port: number }).port}`;
    sidecar = start([
      "sidecar",
      "--dir",
      dir,
      "--service",
      "orders",
      "--app",
      address,
      ...freePorts,
      "--upstream",
      "orders=0",
    ]);
    sidecarReady = await sidecar.ready();
  });

  after(async () => {
    await Promise.all(started.map((process) => process.stop()));
    app.closeAllConnections();
    app.close();
    rmSync(directory, { recursive: true });
  });

  it("dev says it is ready on one line, and writes the context", () => {
    assert.deepEqual(Object.keys(devReady), ["event", "control", "store", "mesh", "trustDomain", "pid"]);
    assert.equal(devReady["store"], "memory");
    assert.equal(devReady["pid"], dev.pid);
    assert.equal(dev.stdout.length, 1);
    const context = JSON.parse(readFileSync(join(dir, "context.json"), "utf8"));
    assert.deepEqual(Object.keys(context).sort(), ["control", "mesh", "rootFingerprint", "trustDomain"]);
    assert.equal(context.control, devReady["control"]);
    assert.equal(statSync(join(dir, "operator.token")).mode & 0o777, 0o600);
    assert.equal(statSync(join(dir, "ca")).mode & 0o077, 0);
    assert.match(readFileSync(join(dir, "root.pem"), "utf8"), /BEGIN CERTIFICATE/);
  });

  it("a sidecar says where it listens and who it is", () => {
    assert.equal(sidecarReady["service"], "orders");
    assert.equal(sidecarReady["namespace"], "default");
    assert.match(String(sidecarReady["instance"]), /^orders-/);
    assert.match(String(sidecarReady["runtime"]), /^(bun|deno|node) \d/);
    assert.equal(sidecarReady["spiffeId"], "spiffe://mesh.local/ns/default/sa/orders");
    for (const name of ["outbound", "inbound", "admin", "health"])
      assert.match(String(sidecarReady[name]), /^127\.0\.0\.1:[1-9]\d*$/);
    assert.match((sidecarReady["upstreams"] as Record<string, string>)["orders"]!, /^127\.0\.0\.1:[1-9]\d*$/);
    assert.equal(sidecarReady["configVersion"], 0);
    for (const line of sidecar.stderr) assert.equal(typeof JSON.parse(line), "object");
  });

  it("apply publishes, waits for the sidecars, and does nothing the second time", async () => {
    const path = file("orders.yaml", route("[{ name: orders }]"));
    const first = await json("apply", "-f", path, "-m", "first", "--wait", "10s");
    assert.equal(first.code, 0, first.stderr);
    const { version, digest, changes, applied } = first.value;
    assert.equal(version, 1);
    assert.match(digest, /^sha256-/);
    assert.deepEqual(changes, [{ action: "created", kind: "HTTPRoute", namespace: "default", name: "orders" }]);
    assert.deepEqual({ sidecars: applied.sidecars, of: applied.of }, { sidecars: 1, of: 1 });
    assert.ok(applied.maxMs >= applied.p50Ms && applied.maxMs < 10_000);
    const second = await json("apply", "-f", path);
    assert.equal(second.value.version, 1);
    assert.equal(second.value.changes[0].action, "unchanged");
  });

  it("apply reads stdin, and --dry-run publishes nothing", async () => {
    const stdin = route("[{ name: orders, weight: 3 }]");
    const exit = await runFetchmesh(["apply", "-f", "-", "--dry-run", "-o", "json", "--dir", dir], { stdin });
    assert.equal(exit.code, 0, exit.stderr);
    assert.equal(JSON.parse(exit.stdout).changes[0].action, "updated");
    assert.equal((await json("status")).value.version, 1);
  });

  it("apply refuses another version than the one expected", async () => {
    const path = file("other.yaml", route("[{ name: orders, weight: 2 }]"));
    const exit = await run("apply", "-f", path, "--expect-version", "7");
    assert.equal(exit.code, 1);
    assert.match(exit.stderr, /current version is 1, not 7/);
  });

  it("a refused document has every problem with its place", async () => {
    const path = file(
      "bad.yaml",
      `${route("[{ name: ordres }]").replace("rules", "ruels")}---\n${route("[{ name: orders, weight: 0 }]").replace("name: orders\nspec", "name: zero\nspec")}`,
    );
    const refused = await json("apply", "-f", path);
    assert.equal(refused.code, 1);
    const codes = refused.value.problems.map(({ code }: { code: string }) => code);
    assert.ok(codes.includes("FM0101") && codes.includes("FM0204"), codes.join());
    const typo = refused.value.problems.find(({ code }: { code: string }) => code === "FM0101");
    assert.deepEqual(Object.keys(typo).sort(), ["code", "column", "file", "line", "message", "severity", "suggestion"]);
    assert.deepEqual([typo.file, typo.line, typo.column, typo.severity], [path, 9, 3, "error"]);
    assert.match(typo.suggestion, /rules/);
    const shown = await run("apply", "-f", path);
    assert.equal(shown.code, 1);
    assert.equal(shown.stdout, "");
    assert.match(
      shown.stderr,
      /bad\.yaml:9:3: error FM0101: .*\(did you mean rules\?\)\n\s+9 \| {3}ruels:\n\s+\| {3}\^/,
    );
    assert.equal((await json("status")).value.version, 1);
  });

  it("a route to a service that does not exist is refused with the one that was meant", async () => {
    const { code, value } = await json("validate", "-f", file("nowhere.yaml", route("[{ name: ordrs }]")));
    assert.equal(code, 1);
    assert.equal(value.problems[0].code, "FM0202");
    assert.match(value.problems[0].suggestion, /orders/);
  });

  it("what is not YAML is refused with its place", async () => {
    const { code, value } = await json("apply", "-f", file("broken.yaml", "kind: [\nname: x: y\n"));
    assert.equal(code, 1);
    assert.equal(value.problems[0].code, "FM0001");
    assert.ok(value.problems[0].line >= 1);
  });

  it("validate says that there is nothing wrong", async () => {
    const good = file("good.yaml", route("[{ name: orders }]"));
    assert.deepEqual(await json("validate", "-f", good), { code: 0, stderr: "", value: { problems: [] } });
  });

  it("diff shows a patch and exits with 1, or nothing and exits with 0", async () => {
    const different = await json("diff", "-f", file("diff.yaml", route("[{ name: orders, weight: 5 }]")));
    assert.equal(different.code, 1);
    assert.equal(different.value.changes[0].action, "updated");
    assert.match(different.value.changes[0].patch, /^\+.*weight: 5/m);
    assert.deepEqual(await json("diff", "-f", file("same.yaml", route("[{ name: orders }]"))), {
      code: 0,
      stderr: "",
      value: { changes: [] },
    });
  });

  it("get shows documents, one of them, or those of an older version", async () => {
    await run("apply", "-f", file("second.yaml", route("[{ name: orders, weight: 9 }]")), "-m", "second");
    const now = await json("get", "httproute/orders");
    assert.equal(now.value.version, 2);
    assert.equal(now.value.resources[0].spec.rules[0].backendRefs[0].weight, 9);
    const then = await json("get", "HTTPRoute", "--version", "1");
    assert.equal(then.value.version, 1);
    assert.equal(then.value.resources.length, 1);
    assert.equal((await run("get", "HTTPRoute/none")).code, 1);
    const misspelt = await run("get", "HTTPRout");
    assert.equal(misspelt.code, 2);
    assert.match(misspelt.stderr, /did you mean HTTPRoute/);
    // What is shown can be applied again.
    const yaml = await run("get", "HTTPRoute/orders");
    assert.equal((await json("apply", "-f", file("again.yaml", yaml.stdout))).value.changes[0].action, "unchanged");
  });

  it("history lists versions, newest first, and rollback makes a new one", async () => {
    const { value } = await json("history");
    assert.deepEqual(
      value.versions.map(({ version, message }: { version: number; message: string }) => [version, message]),
      [
        [2, "second"],
        [1, "first"],
      ],
    );
    assert.ok(!Number.isNaN(Date.parse(value.versions[0].at)));
    assert.equal(value.versions[0].changes, 1);
    const back = await json("rollback", "1", "--wait", "10s");
    assert.equal(back.value.version, 3);
    assert.equal(back.value.changes[0].action, "updated");
    assert.equal((await run("rollback", "77")).code, 1);
    assert.equal((await run("rollback", "one")).code, 2);
  });

  it("status lists the sidecars", async () => {
    const { value } = await json("status");
    assert.equal(value.version, 3);
    const [one] = value.sidecars;
    assert.deepEqual(
      [one.service, one.namespace, one.instance, one.address, one.appliedVersion, one.state, one.reason],
      ["orders", "default", sidecarReady["instance"], sidecarReady["inbound"], 3, "applied", null],
    );
    assert.ok(Date.parse(one.certificateExpiresAt) > Date.now());
    assert.ok(one.lastSeenMs >= 0);
    assert.match((await run("status")).stdout, /SERVICE.*\n.*orders/);
  });

  it("breaker forces and resets, endpoints shows it", async () => {
    const endpoint = String(sidecarReady["inbound"]);
    const admin = ["--admin", String(sidecarReady["admin"])];
    const opened = await json("breaker", "open", `orders/${endpoint}`, "--for", "1m");
    assert.deepEqual(
      [opened.value.service, opened.value.endpoint, opened.value.state],
      ["orders", endpoint, "forced-open"],
    );
    const leftMs = Date.parse(opened.value.until) - Date.now();
    assert.ok(leftMs > 30_000 && leftMs <= 61_000);
    const see = async () => (await json("endpoints", "orders", ...admin)).value.services[0].endpoints[0];
    await until(async () => (await see()).breaker === "open");
    const forced = await see();
    assert.deepEqual([forced.address, forced.source, forced.ejected], [endpoint, "forced", true]);
    assert.equal((await json("breaker", "reset", "orders")).value.state, "reset");
    await until(async () => (await see()).breaker === "closed");
    assert.equal((await run("breaker", "shut", "orders")).code, 2);
  });

  it("endpoints knows what it does not know", async () => {
    const exit = await run("endpoints", "nobody", "--admin", String(sidecarReady["admin"]));
    assert.equal(exit.code, 1);
    assert.match(exit.stderr, /knows no service nobody/);
    const nowhere = await run("endpoints", "--admin", "127.0.0.1:1");
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /127\.0\.0\.1:1 cannot be reached/);
  });

  it("delete removes a document", async () => {
    const gone = await json("delete", "HTTPRoute/orders");
    assert.deepEqual(gone.value.changes, [
      { action: "deleted", kind: "HTTPRoute", namespace: "default", name: "orders" },
    ]);
    assert.equal((await run("delete", "HTTPRoute/orders")).code, 1);
    assert.deepEqual((await json("get")).value.resources, []);
  });

  it("token create prints the token alone; each works once, for its service", async () => {
    const { stdout, code } = await run("token", "create", "--service", "orders", "--ttl", "1m");
    assert.equal(code, 0);
    assert.match(stdout.trim(), /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const join = (service: string, token: string) =>
      start([
        "sidecar",
        "--control",
        String(devReady["control"]),
        "--service",
        service,
        "--app",
        "127.0.0.1:9",
        "--token",
        token,
        ...freePorts,
      ]);
    const other = await join("billing", stdout.trim()).exit;
    assert.equal(other.code, 1);
    assert.match(other.stderr, /token is for spiffe:\/\/mesh\.local\/ns\/default\/sa\/orders/);
    const good = join("orders", stdout.trim());
    await good.ready();
    assert.equal(await good.stop(), 0);
    const again = await join("orders", stdout.trim()).exit;
    assert.equal(again.code, 1);
    assert.match(again.stderr, /used/);
  });

  it("ca export prints the root", async () => {
    assert.equal((await run("ca", "export")).stdout.trim(), readFileSync(join(dir, "root.pem"), "utf8").trim());
    assert.equal((await run("ca", "init")).code, 1);
  });

  it("takes the three flags in place of the context", async () => {
    const flags = [
      "--control",
      String(devReady["control"]),
      "--ca",
      join(dir, "root.pem"),
      "--operator-token-file",
      join(dir, "operator.token"),
    ];
    const exit = await runFetchmesh(["status", "-o", "json", "--dir", join(directory, "none"), ...flags]);
    assert.equal(exit.code, 0, exit.stderr);
  });

  it("says what to do without a context, and with a wrong token", async () => {
    const none = await runFetchmesh(["status", "--dir", join(directory, "none")]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /fetchmesh dev/);
    const wrong = file("wrong.token", "0".repeat(64));
    const refused = await run("status", "--operator-token-file", wrong);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /token is refused/);
  });

  it("serves the request: through the outbound port by both forms, and by the upstream's own port", async () => {
    const outbound = String(sidecarReady["outbound"]);
    const upstream = (sidecarReady["upstreams"] as Record<string, string>)["orders"]!;
    for (const [address, path, host] of [
      [outbound, "http://orders/a", "orders"],
      [outbound, "/a", "orders.default.svc.cluster.local"],
      [upstream, "/a", "127.0.0.1"],
    ] as const) {
      const { status, body } = await get(address, path, host);
      assert.equal(status, 200, body);
      assert.match(body, /^hello \/a .*URI=spiffe:\/\/mesh\.local\/ns\/default\/sa\/orders/);
    }
    const unknown = await get(outbound, "/", "nobody");
    assert.equal(unknown.status, 404);
    assert.match(unknown.body, /Service/);
  });
});

function get(address: string, path: string, host: string): Promise<{ status: number; body: string }> {
  const [hostname, port] = address.split(":");
  return new Promise((resolve, reject) => {
    const outgoing = request({ hostname, port, path, headers: { host } }, (incoming) => {
      let body = "";
      incoming.on("data", (chunk) => (body += chunk));
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, body }));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

async function until(test: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await test()); tries++) assert.ok(tries < 40, "never happened");
}
