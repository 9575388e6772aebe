// The inventory service again, for machines without Python: server.py in JavaScript, on Deno, Bun or Node.
import http from "node:http";
import process from "node:process";

const port = Number(process.env.PORT ?? 8082);
const { bun, deno, node } = process.versions;
const self = {
  service: "inventory",
  instance: process.env.INSTANCE ?? "inventory",
  runtime: bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`,
};

const server = http.createServer((request, response) => {
  const caller = request.headers["x-forwarded-client-cert"] ?? null;
  if (request.url.startsWith("/stock/")) reply(response, 200, { ...self, sku: request.url.slice(7), stock: 7, caller });
  else if (request.url === "/healthz") reply(response, 200, self);
  else reply(response, 404, { ...self, error: "no such thing" });
});

server.keepAliveTimeout = 60_000;
server.listen(port, "127.0.0.1", () => console.log(`inventory listens on http://127.0.0.1:${port}`));

function reply(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}
