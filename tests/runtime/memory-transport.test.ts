import { memoryTransport } from "../../src/runtime/memory-transport.ts";
import { makeCa, makeServiceLeaf } from "../support/certificates.ts";
import { socketSuite } from "./_suite.ts";
import { tlsSuite } from "./_tls-suite.ts";

socketSuite("memoryTransport plain", async () => ({ transport: memoryTransport(), listen: {}, connect: {} }));

socketSuite("memoryTransport unix", async () => ({
  transport: memoryTransport(),
  listen: { path: "/run/orders.sock" },
  connect: {},
}));

socketSuite("memoryTransport mTLS", async () => {
  const ca = await makeCa();
  const [server, client] = await Promise.all([makeServiceLeaf(ca, "orders"), makeServiceLeaf(ca, "web")]);
  return {
    transport: memoryTransport(),
    listen: { tls: { identity: server.identity, trust: ca.trust, clientAuth: "required" as const } },
    connect: { tls: { identity: client.identity, trust: ca.trust, verifyPeer: () => null } },
  };
});

tlsSuite("memoryTransport", () => memoryTransport());
