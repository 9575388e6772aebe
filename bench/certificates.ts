/** One CA and one leaf for each side, used by every system: P-256, as the mesh's own CA issues them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCa, makeServiceLeaf, type TestCa } from "../tests/support/certificates.ts";
import { apiDnsName, type Certificates } from "./system.ts";

export async function writeCertificates(folder: string): Promise<Certificates> {
  const root = await makeCa({ name: "bench root" });
  const [caller, api] = await Promise.all([
    write(folder, root, "caller", "caller.mesh.local"),
    write(folder, root, "api", apiDnsName),
  ]);
  return { caller, api };
}

async function write(folder: string, root: TestCa, service: string, dns: string): Promise<string> {
  const { identity } = await makeServiceLeaf(root, service, { dns });
  const directory = join(folder, `svid-${service}`);
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, "svid.pem"), identity.certificateChainPem);
  writeFileSync(join(directory, "svid_key.pem"), identity.privateKeyPem, { mode: 0o600 });
  writeFileSync(join(directory, "bundle.pem"), root.certificatePem);
  return directory;
}
