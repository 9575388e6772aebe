import { currentRuntime } from "../../src/runtime/current.ts";
import { fetchTransport } from "../../src/runtime/fetch-transport.ts";
import { memoryTransport } from "../../src/runtime/memory-transport.ts";
import { wireFetch } from "../../src/transport/wire-fetch.ts";
import { requestSuite } from "./_request-suite.ts";

requestSuite("fetchTransport", () => {
  const { fetch } = fetchTransport();
  return { transport: currentRuntime().transport, send: fetch };
});

requestSuite("nodeTransport with our wire", () => {
  const { transport } = currentRuntime();
  return { transport, send: wireFetch(transport) };
});

requestSuite("memoryTransport with our wire", () => {
  const transport = memoryTransport();
  return { transport, send: wireFetch(transport) };
});
