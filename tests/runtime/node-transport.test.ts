import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { ByteSocket } from "../../src/runtime/contract.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { makeCa, makeServiceLeaf } from "../support/certificates.ts";
import { eventually } from "./_bench.ts";
import { socketSuite } from "./_suite.ts";
import { assertRuntime, gapOf } from "./support.ts";

socketSuite("nodeTransport plain", async () => ({ transport: currentRuntime().transport, listen: {}, connect: {} }));

socketSuite(
  "nodeTransport unix",
  async () => ({
    transport: currentRuntime().transport,
    listen: { path: join(mkdtempSync(join(tmpdir(), "fetchmesh-")), "socket") },
    connect: {},
  }),
  "Unix sockets know no reset",
);

socketSuite(
  "nodeTransport mTLS",
  async () => {
    const ca = await makeCa();
    const [server, client] = await Promise.all([makeServiceLeaf(ca, "orders"), makeServiceLeaf(ca, "web")]);
    return {
      transport: currentRuntime().transport,
      listen: { tls: { identity: server.identity, trust: ca.trust, clientAuth: "required" as const } },
      connect: { tls: { identity: client.identity, trust: ca.trust, verifyPeer: () => null } },
    };
  },
  gapOf("reset-with-tls")?.why,
);

describe("nodeTransport", () => {
  it("nodeTransport refuses an option its runtime lacks with the reason", async () => {
    assertRuntime();
    const { nodeRuntime } = await import("../../src/runtime/node.ts");
    const { transport } = nodeRuntime("20.20.2");
    await assert.rejects(
      transport.listen({ reusePort: true }, () => {}),
      {
        code: "ERR_CAPABILITY_MISSING",
        message: /cannot share a port on node 20\.20\.2: needs Node 22\.12/,
      },
    );
  });

  it("listen() takes over the socket file of a process that died, and nothing else", async () => {
    const { transport } = currentRuntime();
    const folder = mkdtempSync(join(tmpdir(), "fetchmesh-"));
    const [socketFile, dataFile] = [join(folder, "socket"), join(folder, "data")];
    const script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])";
    const left = spawnSync("python3", ["-c", script, socketFile]);
    if (left.status === 0) {
      const listener = await transport.listen({ path: socketFile }, (socket) => socket.destroy());
      (await transport.connect({ path: socketFile })).destroy();
      await listener.close();
    }
    writeFileSync(dataFile, "somebody's");
    await assert.rejects(
      transport.listen({ path: dataFile }, () => {}),
      { code: "ERR_OPTION_INVALID" },
    );
    assert.equal(readFileSync(dataFile, "utf8"), "somebody's");
  });

  it("listen() shares a port where asked to, so that one process can take over from another", async () => {
    const { transport } = currentRuntime();
    let first = 0;
    let second = 0;
    const older = await transport.listen({ reusePort: true }, (socket) => {
      first++;
      socket.destroy();
    });
    const newer = await transport.listen({ port: older.port, reusePort: true }, (socket) => {
      second++;
      socket.destroy();
    });
    await older.close();
    for (let i = 0; i < 5; i++) (await transport.connect({ port: newer.port }).catch(() => null))?.destroy();
    await eventually(() => second === 5, "five connections to the one that stays");
    assert.equal(first, 0);
    await newer.close();
  });

  it("listen() names an address that is not of this machine", async () => {
    const listening = currentRuntime().transport.listen({ host: "192.0.2.1" }, () => {});
    await assert.rejects(listening, {
      code: "ERR_OPTION_INVALID",
      message: /^cannot listen on 192\.0\.2\.1:0: .*0\.0\.0\.0 for all$/,
    });
  });

  it("connect() and listen() take IPv6 addresses where the machine has them", async () => {
    const { transport } = currentRuntime();
    const accepted: ByteSocket[] = [];
    const listener = await transport.listen({ host: "::1" }, (socket) => accepted.push(socket)).catch(() => null);
    if (listener === null) return;
    assert.equal(listener.address, `[::1]:${listener.port}`);
    const socket = await transport.connect({ host: "::1", port: listener.port });
    assert.equal(socket.remoteAddress, "::1");
    await eventually(() => accepted.length === 1, "the connection");
    assert.equal(accepted[0]!.remoteAddress, "::1");
    for (const one of [socket, ...accepted]) one.destroy();
    await listener.close();
  });
});
