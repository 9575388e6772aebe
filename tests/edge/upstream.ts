/** A service that knows nothing of the mesh: says who it is and what it got, or does what its path asks for. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Upstream {
  readonly name: string;
  readonly address: string;
  /** Requests that arrived. */
  readonly seen: { readonly method: string; readonly url: string }[];
  /** Requests whose client went away before the reply was complete. */
  aborted: number;
  /** From now on everything is answered with this status; 0 is back to normal. */
  status: number;
  close(): Promise<void>;
}

export interface Echo {
  readonly name: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export async function startUpstream(name: string): Promise<Upstream> {
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const upstream: Upstream = {
    name,
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    aborted: 0,
    status: 0,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return upstream;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "" } = request;
    upstream.seen.push({ method, url });
    response.once("close", () => {
      if (!response.writableFinished) upstream.aborted++;
    });
    if (url.startsWith("/hang")) return;
    if (url.startsWith("/redirect")) return void response.writeHead(302, { location: "/elsewhere" }).end();
    if (url.startsWith("/upper")) return upper(request, response);
    if (url.startsWith("/endless")) return endless(response);
    let body = "";
    try {
      for await (const chunk of request.setEncoding("latin1")) body += chunk;
    } catch {
      return;
    }
    const echo = JSON.stringify({
      name,
      method,
      url,
      headers: request.headers,
      body: body.length > 1_000 ? String(body.length) : body,
    });
    response
      .writeHead(upstream.status || 200, {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(echo),
      })
      .end(echo);
  }
}

/** More than anybody reads ahead, and then some more, for as long as somebody is there. */
function endless(response: ServerResponse): void {
  response.writeHead(200).write("x".repeat(200_000));
  const timer = setInterval(() => response.write("x".repeat(10_000)), 20);
  response.once("close", () => clearInterval(timer));
}

/** Answers while it listens: the head at once, then each piece as it comes. */
function upper(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  request.setEncoding("utf8").on("data", (text: string) => response.write(text.toUpperCase()));
  request.on("end", () => response.end());
}

/** A Service document with these endpoints. */
export function service(name: string, addresses: readonly string[]): object {
  return {
    apiVersion: "fetchmesh.dev/v1alpha1",
    kind: "Service",
    metadata: { name },
    spec: { ports: [{ port: 80 }], endpoints: addresses.map((address) => ({ address })) },
  };
}

/** An HTTPRoute of `name` with these rules. */
export function route(name: string, rules: readonly object[]): object {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name },
    spec: { parentRefs: [{ group: "", kind: "Service", name }], rules },
  };
}
