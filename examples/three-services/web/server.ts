// The shop's front: hono, on Bun, Deno or Node. It knows nothing of the mesh: it calls http://orders/ and that is that.
// HTTP_PROXY, which `fetchmesh run` sets, makes `fetch` go through the sidecar.
import { createServer } from "node:http";
import process from "node:process";
import { Hono } from "hono";

const port = Number(process.env["PORT"] ?? 8080);
const { bun, deno, node } = process.versions;
const self = {
  service: "web",
  instance: process.env["INSTANCE"] ?? "web",
  runtime: bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`,
};

const app = new Hono();

app.get("/healthz", (c) => c.text("ok"));

app.get("/", async (c) => {
  const headers = new Headers();
  // What belongs to the request goes on with it: this is how a canary is chosen and a trace stays one.
  for (const name of ["x-canary", "x-request-id", "traceparent", "tracestate"]) {
    const value = c.req.header(name);
    if (value !== undefined) headers.set(name, value);
  }
  const response = await fetch("http://orders/orders/42", { headers, signal: AbortSignal.timeout(5_000) });
  if (!response.ok) return c.json({ ...self, error: await response.text() }, 502);
  return c.json({ ...self, order: await response.json() });
});

app.onError((error, c) => c.json({ ...self, error: String(error) }, 502));

serve((request) => app.fetch(request));

function serve(handle: (request: Request) => Response | Promise<Response>): void {
  const runtime = globalThis as {
    Bun?: { serve: (options: object) => unknown };
    Deno?: { serve: (options: object, handle: (request: Request) => Response | Promise<Response>) => unknown };
  };
  const hostname = "127.0.0.1";
  if (runtime.Bun !== undefined) runtime.Bun.serve({ port, hostname, fetch: handle });
  else if (runtime.Deno !== undefined) runtime.Deno.serve({ port, hostname, onListen() {} }, handle);
  else serveOnNode(handle, hostname);
  console.log(`web listens on http://${hostname}:${port}`);
}

// Node has no server that speaks Request and Response; these few lines are enough for GET.
function serveOnNode(handle: (request: Request) => Response | Promise<Response>, hostname: string): void {
  createServer((incoming, outgoing) => {
    const headers = new Headers();
    for (const [name, value] of Object.entries(incoming.headers))
      if (typeof value === "string") headers.set(name, value);
    const request = new Request(`http://${hostname}:${port}${incoming.url ?? "/"}`, {
      method: incoming.method ?? "GET",
      headers,
    });
    void Promise.resolve(handle(request)).then(async (response) => {
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.end(new Uint8Array(await response.arrayBuffer()));
    });
  }).listen(port, hostname);
}
