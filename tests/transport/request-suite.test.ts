import { createMesh } from "../../src/mesh.ts";
import { createMesh as createProcessMesh } from "../../src/mesh-process.ts";
import { fetchTransport } from "../../src/runtime/fetch-transport.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { memoryTransport } from "../../src/runtime/memory-transport.ts";
import { requestSuite } from "./request-suite.ts";

const { transport } = currentRuntime();

requestSuite("nodeTransport", () => ({
  server: transport,
  makeMesh: (documents, events) => createProcessMesh({ service: "web", store: { documents }, transport, events }),
  namesRefusals: true,
}));

requestSuite("memoryTransport", () => {
  const memory = memoryTransport();
  return {
    server: memory,
    makeMesh: (documents, events) =>
      createProcessMesh({ service: "web", store: { documents }, transport: memory, events }),
    namesRefusals: true,
  };
});

requestSuite("fetchTransport", () => ({
  server: transport,
  makeMesh: (documents, events) =>
    createMesh({ service: "web", store: { documents }, transport: fetchTransport(), events }),
  namesRefusals: true,
}));
