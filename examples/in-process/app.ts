/**
 * A program that is a member of the mesh by itself, without a sidecar: it proves who it is and sees to it that others do.
 * Outside of this repository write `import … from "fetchmesh/sidecar"`.
 *
 * FETCHMESH_TOKEN=$(fetchmesh token create --service report) node app.ts https://127.0.0.1:15010 http://orders/
 */
import process from "node:process";
import { acquireIdentity, createMesh } from "../../src/sidecar.ts";

const [control = "", url = ""] = process.argv.slice(2);

const identity = await acquireIdentity({ service: "report", control, token: process.env["FETCHMESH_TOKEN"] ?? "" });
const mesh = createMesh({ service: "report", store: control, identity });

const response = await mesh.fetch(url);
console.log(response.status, await response.text());

await mesh.close();
identity.close();
