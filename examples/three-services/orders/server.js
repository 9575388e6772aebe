// The orders service: nothing but Node's own `http`; any Node from 18 on, Bun and Deno run it as it is.
// It calls http://inventory/ by sending to the sidecar's outbound port with `Host: inventory`.
import http from "node:http";
import process from "node:process";

const port = Number(process.env.PORT ?? 8081);
const outbound = new URL(process.env.HTTP_PROXY ?? "http://127.0.0.1:15001");
const agent = new http.Agent({ keepAlive: true });
const { bun, deno, node } = process.versions;
const self = {
  service: "orders",
  instance: process.env.INSTANCE ?? "orders",
  version: process.env.VERSION ?? "v1",
  runtime: bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`,
};

// For demonstrations: from POST /-/sick to POST /-/well this instance answers 500 to everything.
let isSick = false;

const server = http.createServer((request, response) => {
  if (request.method === "POST" && request.url?.startsWith("/-/")) {
    isSick = request.url === "/-/sick";
    return reply(response, 200, { ...self, isSick });
  }
  if (isSick) return reply(response, 500, { ...self, error: "I am sick" });
  if (request.url === "/healthz") return reply(response, 200, self);
  // The sidecar tells who called, from the caller's certificate; a caller cannot write this header itself.
  const caller = request.headers["x-forwarded-client-cert"] ?? null;
  stockOf("espresso-machine", request.headers).then(
    (item) => reply(response, 200, { ...self, caller, id: 42, item }),
    (error) => reply(response, 502, { ...self, caller, error: String(error) }),
  );
});

server.keepAliveTimeout = 60_000;
server.listen(port, "127.0.0.1", () => console.log(`orders listens on http://127.0.0.1:${port}`));

function stockOf(sku, received) {
  const headers = { host: "inventory" };
  for (const name of ["x-request-id", "traceparent", "tracestate"]) if (received[name]) headers[name] = received[name];
  const { hostname, port } = outbound;
  return new Promise((resolve, reject) => {
    const request = http.get({ agent, hostname, port, path: `/stock/${sku}`, headers, timeout: 5_000 }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => (text += chunk));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`inventory answered ${response.statusCode}: ${text}`));
      });
    });
    request.on("timeout", () => request.destroy(new Error("inventory does not answer")));
    request.on("error", reject);
  });
}

function reply(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}
