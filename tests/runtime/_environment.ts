/** Started with an environment that tries to switch verification off; says on stdout what it did to us. */
import process from "node:process";
import { MeshError } from "../../src/errors.ts";
import type { ByteSocket, TlsIdentity, TlsTrust } from "../../src/runtime/contract.ts";
import { currentRuntime } from "../../src/runtime/current.ts";

interface Material {
  readonly ours: TlsTrust;
  readonly server: TlsIdentity;
  readonly foreign: TlsIdentity;
  readonly foreignTrust: TlsTrust;
}

const material = JSON.parse(process.env["MATERIAL"] ?? "") as Material;
const { transport } = currentRuntime();
const tls = { trust: material.ours, identity: material.foreign, verifyPeer: () => null };
const drop = (socket: ByteSocket): void => socket.destroy();

const foreignServer = await transport.listen(
  { tls: { identity: material.foreign, trust: material.foreignTrust, clientAuth: "none" } },
  drop,
);
const client = await transport.connect({ port: foreignServer.port, tls }).then(
  () => "accepted",
  (error: unknown) => MeshError.from(error).code,
);

const verdict = Promise.withResolvers<string>();
const ourServer = await transport.listen(
  { tls: { identity: material.server, trust: material.ours, clientAuth: "required" } },
  () => verdict.resolve("accepted"),
  { handshakeRefused: (reason) => verdict.resolve(reason) },
);
// Kept open: Node's server would not notice before its handshake timeout that a client left in the middle.
await transport.connect({ port: ourServer.port, tls }).catch(() => {});
process.stdout.write(JSON.stringify({ client, server: await verdict.promise }));
process.exit(0);
