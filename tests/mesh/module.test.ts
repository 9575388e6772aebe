/** `createMesh` inside a process: mTLS to a real sidecar, config and endpoints from a real control plane. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  acquireIdentity,
  createMesh,
  createSidecar,
  type Sidecar,
  type WorkloadCertificate,
} from "../../src/sidecar.ts";
import { startPlane, type TestPlane } from "../control/_plane.ts";
import { eventually } from "../support/ports.ts";
import { currentRuntime, startProcess } from "../support/processes.ts";

const anyPort = { host: "127.0.0.1", port: 0 };
const root = join(import.meta.dirname ?? "", "..", "..");

describe("createMesh() of fetchmesh/sidecar", () => {
  let plane: TestPlane;
  let app: Server;
  let sidecar: Sidecar;
  let identity: WorkloadCertificate;

  const token = async (service: string): Promise<string> =>
    String((await plane.call("POST", "/v1/tokens", { service })).body["token"]);

  before(async () => {
    plane = await startPlane();
    app = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => (body += text));
      request.on("end", () => {
        response.writeHead(request.url === "/teapot" ? 418 : 200, {
          "x-seen": request.headers["x-forwarded-client-cert"] ?? "",
        });
        response.end(`${request.method} ${request.url} ${body}`);
      });
    });
    await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
    sidecar = await createSidecar({
      service: "orders",
      app: { host: "127.0.0.1", port: (app.address() as AddressInfo).port },
      control: plane.plane.address,
      token: await token("orders"),
      inbound: anyPort,
      outbound: anyPort,
      admin: anyPort,
      health: anyPort,
      log: () => {},
    });
    identity = await acquireIdentity({ service: "web", token: await token("web"), log: () => {} });
  });

  after(async () => {
    identity?.close();
    await sidecar?.close();
    await plane?.close();
    app?.close();
  });

  it("calls an mTLS endpoint as who it is, found through the control plane", async () => {
    const mesh = createMesh({ service: "web", store: plane.plane.address, identity });
    try {
      await mesh.ready();
      const response = await eventually("orders to be known", async () => {
        const response = await mesh.fetch("http://orders/a?b=1", { method: "POST", body: "hello" });
        return response.status === 200 && response;
      });
      assert.equal(await response.text(), "POST /a?b=1 hello");
      assert.match(response.headers.get("x-seen") ?? "", /URI=spiffe:\/\/mesh\.local\/ns\/default\/sa\/web/);
      assert.equal((await mesh.fetch(new Request("http://orders/teapot"))).status, 418);
      assert.equal((await mesh.fetch("http://nobody/")).status, 404);
    } finally {
      await mesh.close();
    }
  });

  it("obeys a policy published meanwhile, within a second and without asking", async () => {
    const mesh = createMesh({ service: "web", store: plane.plane.address, identity });
    try {
      await mesh.ready();
      const policy = {
        apiVersion: "security.istio.io/v1",
        kind: "AuthorizationPolicy",
        metadata: { name: "nobody-deletes" },
        spec: {
          selector: { matchLabels: { app: "orders" } },
          action: "DENY",
          rules: [{ to: [{ operation: { methods: ["DELETE"] } }] }],
        },
      };
      const { status, body } = await plane.call("POST", "/v1/apply", {
        sources: [{ file: "policy.json", text: JSON.stringify(policy) }],
      });
      assert.equal(status, 200, JSON.stringify(body));
      await eventually("the module to have the version", () => mesh.version === Number(body["version"]), 1_000);
      await eventually(
        "the sidecar to refuse",
        async () => (await mesh.fetch("http://orders/x", { method: "DELETE" })).status === 403,
      );
      assert.equal((await mesh.fetch("http://orders/x")).status, 200);
    } finally {
      await mesh.close();
    }
  });

  it("believes no endpoint that is not the service it is listed for, and none without an identity of its own", async () => {
    const address = sidecar.ready.inbound;
    const listed = (name: string): object => ({
      apiVersion: "fetchmesh.dev/v1alpha1",
      kind: "Service",
      metadata: { name },
      spec: { endpoints: [{ address, identity: `spiffe://mesh.local/ns/default/sa/${name}` }] },
    });
    const documents = [listed("orders"), listed("billing")];
    const member = createMesh({ service: "web", store: { documents }, identity });
    const stranger = createMesh({ service: "web", store: { documents } });
    try {
      assert.equal((await member.fetch("http://orders/")).status, 200);
      const refused = await member.fetch("http://billing/");
      assert.equal(refused.headers.get("x-mesh-error"), "ERR_UPSTREAM_IDENTITY");
      assert.match(await refused.text(), /peer is spiffe:\/\/mesh\.local\/ns\/default\/sa\/orders, expected/);
      assert.equal((await stranger.fetch("http://orders/")).status, 503);
    } finally {
      await Promise.all([member.close(), stranger.close()]);
    }
  });

  it("refuses a control plane without an identity, and says where one comes from", () => {
    assert.throws(() => createMesh({ service: "web", store: plane.plane.address }), {
      code: "ERR_OPTION_INVALID",
      message: /no identity is given/,
    });
    assert.throws(() => createMesh({ service: "web", store: "orders.yaml", identity }), { code: "ERR_OPTION_INVALID" });
  });

  it("examples/in-process runs, and ends by itself", async () => {
    const args = { node: [], bun: [], deno: ["run", "-A", "--no-check"] }[currentRuntime];
    const env = { FETCHMESH_TOKEN: await token("report") };
    const child = startProcess(
      currentRuntime,
      [...args, join(root, "examples/in-process/app.ts"), plane.plane.address, "http://orders/"],
      { env },
    );
    const timer = setTimeout(() => child.signal("SIGKILL"), 20_000);
    const { code, stdout, stderr } = await child.exit;
    clearTimeout(timer);
    assert.equal(stdout, "200 GET / ", stderr);
    assert.equal(code, 0, stderr);
  });
});
