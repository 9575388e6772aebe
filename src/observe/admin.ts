/**
 * The admin and health ports: what this process is doing, for people and probes. Everything is read from memory, so it
 * answers when the store, the control plane or the network does not (L34; Roblox 2021).
 */
import { Hono } from "hono";
import type { Cluster } from "../balance/cluster.ts";
import type { Clock } from "../clock.ts";
import type { Snapshot } from "../control/snapshot.ts";
import { MeshError } from "../errors.ts";
import { problemResponse } from "../problem.ts";
import { adminAccess, type AdminAccessOptions } from "./admin-access.ts";
import { reportBreakers, reportEndpoints } from "./endpoint-report.ts";
import { expositionType } from "./exposition.ts";

/** What is still missing before requests can be served; empty when ready. Words: "config", "certificate", "draining" … */
export type Readiness = () => readonly string[];

/** A certificate in use. Times are RFC 3339. */
export interface CertificateReport {
  readonly kind: "workload" | "root";
  readonly spiffeId: string;
  readonly serialNumber: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** Lower-case hex SHA-256 of the DER. */
  readonly fingerprint: string;
}

export interface AdminOptions extends AdminAccessOptions {
  /** Who answers, as problems name it: `sidecar orders/orders-6f2c`. */
  readonly by: string;
  readonly clock: Clock;
  readonly metrics: () => string;
  readonly waitingFor: Readiness;
  readonly snapshot: () => Snapshot;
  readonly clusters: () => Iterable<Cluster>;
  readonly certificates: () => readonly CertificateReport[];
  /** Begins to drain; returns at once. */
  readonly drain: () => void;
}

/** Answers one request that came from `remoteAddress` ("unix" on a Unix socket). */
export type AdminHandler = (request: Request, remoteAddress: string) => Promise<Response>;

const routes = [
  "GET /metrics",
  "GET /ready",
  "GET /live",
  "GET /config",
  "GET /config/version",
  "GET /endpoints",
  "GET /breakers",
  "GET /certs",
  "POST /drain",
] as const;

export function createAdmin(options: AdminOptions): AdminHandler {
  const { by, clock, clusters, snapshot } = options;
  const access = adminAccess(options);
  const app = new Hono();
  app.get("/metrics", (c) =>
    c.body(options.metrics(), 200, { "content-type": expositionType, "cache-control": "no-store" }),
  );
  app.get("/ready", () => readiness(options.waitingFor()));
  app.get("/live", (c) => c.json({ live: true }));
  app.get("/config", (c) => {
    const { version, epoch, digest, documents } = snapshot();
    return c.json({ version, epoch, digest, resources: documents });
  });
  app.get("/config/version", (c) => {
    const { version, epoch, digest } = snapshot();
    return c.json({ version, epoch, digest });
  });
  app.get("/endpoints", (c) => c.json({ services: reportEndpoints(clusters(), clock) }));
  app.get("/breakers", (c) => c.json({ breakers: reportBreakers(clusters(), clock) }));
  app.get("/certs", (c) => c.json({ certificates: options.certificates() }));
  app.post("/drain", (c) => {
    options.drain();
    return c.json({ draining: true }, 202);
  });
  refuseTheRest(app, by, routes);
  return async (request, remoteAddress) => {
    const refused = access(request, remoteAddress);
    if (refused !== null) return problemResponse(refused, { audience: "peer", by, isHead: request.method === "HEAD" });
    return app.fetch(request);
  };
}

/** The health port is open to every probe on the network: it says yes or no, and what is missing in one word each. */
export function createHealth(options: {
  readonly by: string;
  readonly waitingFor: Readiness;
}): (request: Request) => Promise<Response> {
  const app = new Hono();
  app.get("/livez", (c) => c.json({ live: true }));
  app.get("/readyz", () => readiness(options.waitingFor()));
  refuseTheRest(app, options.by, ["GET /livez", "GET /readyz"]);
  return async (request) => app.fetch(request);
}

function readiness(waitingFor: readonly string[]): Response {
  const isReady = waitingFor.length === 0;
  const init: ResponseInit = { status: isReady ? 200 : 503, headers: { "cache-control": "no-store" } };
  return Response.json(isReady ? { ready: true } : { ready: false, waitingFor }, init);
}

/** 405 where another method is known, 404 with the list of what there is, 500 without details. */
function refuseTheRest(app: Hono, by: string, known: readonly string[]): void {
  app.notFound((c) => {
    const allowed = known
      .filter((route) => route.endsWith(` ${c.req.path}`))
      .map((route) => route.slice(0, route.indexOf(" ")));
    const error =
      allowed.length === 0
        ? new MeshError("ERR_RESOURCE_NOT_FOUND", `There is nothing at ${c.req.path}`, {
            advice: `There is: ${known.join(", ")}`,
          })
        : new MeshError("ERR_METHOD_NOT_ALLOWED", `${c.req.path} takes ${allowed.join(" and ")}`);
    const response = problemResponse(error, { audience: "peer", by, isHead: c.req.method === "HEAD" });
    if (allowed.length > 0) response.headers.set("allow", allowed.join(", "));
    return response;
  });
  app.onError((reason, c) =>
    problemResponse(MeshError.from(reason), { audience: "peer", by, isHead: c.req.method === "HEAD" }),
  );
}
