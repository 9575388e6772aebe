/** What the edge tests run in workerd: every request goes through the mesh, `/SERVICE/PATH` to the service of that name. */
import { createMesh, type Mesh } from "../../mod.ts";

interface Env {
  readonly OPTIONS: {
    readonly documents?: readonly unknown[];
    readonly store?: string;
    readonly token?: string;
    readonly refreshMs?: number;
  };
}

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

// Workers forbid timers, randomness and fetching outside a request: making a mesh must need none of them.
createMesh({ service: "early", store: { documents: [] } });

let mesh: Mesh | undefined;
let inFlight = 0;

// oxlint-disable-next-line import/no-default-export -- what a worker platform looks for
export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const { documents, store = "", ...options } = env.OPTIONS;
    const events = { requestStarted: () => void inFlight++, requestFinished: () => void inFlight-- };
    mesh ??= createMesh({
      service: "edge",
      store: documents === undefined ? store : { documents },
      events,
      ...options,
    });
    const { pathname, search } = new URL(request.url);
    const [, service = "", ...path] = pathname.split("/");
    if (service === "-") return report(path[0] ?? "");
    const target = `http://${service}/${path.join("/")}${search}`;
    // A body as applications make them, which the platform holds as bytes.
    const text = request.headers.get("x-text");
    if (text !== null)
      return mesh.fetch(target, { method: request.method, body: text, headers: { "content-type": "text/plain" } });
    const timeout = request.headers.get("x-give-up-after");
    if (timeout !== null) return givingUp(mesh, target, Number(timeout));
    const response = await mesh.fetch(new Request(target, request), { waitUntil: (work) => context.waitUntil(work) });
    // As careless callers do: the body is left where it is.
    return request.headers.get("x-ignore-body") === null ? response : new Response(`ignored ${response.status}`);
  },
};

async function report(what: string): Promise<Response> {
  if (what === "gc") (globalThis as { gc?: () => void }).gc?.();
  // What is garbage is given back by the next request through the mesh, whatever becomes of it.
  await (await mesh?.fetch("http://nobody/"))?.text();
  return Response.json({ version: mesh?.version ?? -1, inFlight });
}

async function givingUp(mesh: Mesh, target: string, ms: number): Promise<Response> {
  try {
    return await mesh.fetch(target, { signal: AbortSignal.timeout(ms) });
  } catch (error) {
    return new Response(`gave up: ${(error as Error).name}`);
  }
}
