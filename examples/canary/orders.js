/** A service that knows nothing of the mesh: it says which version it is, and who called as its sidecar told it. */
import { createServer } from "node:http";

const version = process.env.VERSION ?? "v1";

createServer((request, response) => {
  const caller = /URI=([^;,]+)/.exec(request.headers["x-forwarded-client-cert"] ?? "")?.[1] ?? null;
  response.setHeader("content-type", "application/json");
  response.end(`${JSON.stringify({ version, path: request.url, caller })}\n`);
}).listen(Number(process.env.PORT ?? 8080), "127.0.0.1");
