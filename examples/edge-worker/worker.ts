/**
 * An edge worker that calls services of the mesh with the mesh's own routes, retries, timeouts and breakers. Outside of this
 * repository write `import … from "fetchmesh"`.
 */
import { createMesh, type Mesh } from "../../mod.ts";

interface Env {
  /** `https://host:port` of the control plane. */
  readonly CONTROL_URL: string;
  /** Made by `fetchmesh token create --kind reader --service edge`. */
  readonly READER_TOKEN: string;
}

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

/** One for the isolate: config, and what was learnt about endpoints, outlive a request. */
let mesh: Mesh | undefined;

// oxlint-disable-next-line import/no-default-export -- what a worker platform looks for
export default {
  /** `/orders/42` is asked of the service `orders` as `/42`. */
  fetch(request: Request, { CONTROL_URL, READER_TOKEN }: Env, context: Context): Promise<Response> {
    mesh ??= createMesh({ service: "edge", store: CONTROL_URL, token: READER_TOKEN, refreshMs: 1_000 });
    const { pathname, search } = new URL(request.url);
    const [, service = "", ...path] = pathname.split("/");
    const target = `http://${service}/${path.join("/")}${search}`;
    return mesh.fetch(new Request(target, request), { waitUntil: (work) => context.waitUntil(work) });
  },
};
