import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import { makeCa, makeServiceLeaf } from "../support/certificates.ts";
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
});
