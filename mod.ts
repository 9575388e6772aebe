/**
 * fetchmesh as a module: routing, retries, timeouts, breakers and balancing over the platform's `fetch`.
 * No `node:` import anywhere below this file, no side effect on import: it runs in a worker as it is.
 *
 * @module
 */
export { createMesh } from "./src/mesh.ts";
export type { Mesh, MeshFetchInit, MeshOptions } from "./src/mesh.ts";
export { errorTable, MeshError } from "./src/errors.ts";
export type { ErrorOrigin, MeshErrorCode, ResponseFlag, Sent } from "./src/errors.ts";
export { fetchTransport } from "./src/runtime/fetch-transport.ts";
export type { Capabilities, FetchTransport } from "./src/runtime/contract.ts";
export type { Resource } from "./src/control/resources.ts";
