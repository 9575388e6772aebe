/** The control plane's HTTP API: who asks is settled before any route runs, and every refusal is a problem document. */
import { Hono } from "hono";
import * as z from "zod/mini";
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { handleJoin, handleRenew, type AdmissionDeps, type AdmissionReply } from "../identity/admission.ts";
import type { Authority } from "../identity/authority.ts";
import type { Peer } from "../identity/peer.ts";
import { meshId } from "../identity/spiffe-id.ts";
import type { TokenLedger } from "../identity/token-ledger.ts";
import { createJoinToken, createReaderToken } from "../identity/token.ts";
import { problemResponse, type Audience } from "../problem.ts";
import { identifyCaller, requireOperator } from "./api-access.ts";
import { readBody, readJson } from "./api-body.ts";
import type { ApiContext, ApiEnv } from "./api-context.ts";
import { addMemberRoutes } from "./api-members.ts";
import { addPublishRoutes } from "./api-publish.ts";
import { parseDuration } from "./duration.ts";
import type { Publisher } from "./publish.ts";
import { labelName, positiveDuration } from "./resource-common.ts";
import type { PublicJwk } from "./signature.ts";
import { meshStatus } from "./status.ts";

export interface ControlApiOptions {
  readonly publisher: Publisher;
  readonly authority: Authority;
  readonly ledger: TokenLedger;
  readonly operatorToken: string;
  readonly trustDomain: string;
  readonly certTtlMs: number;
  readonly clock: Clock;
  /** Given to sidecars with their certificate, to verify what they read from a store. */
  readonly configKey: PublicJwk | null;
  /** Where this API is reached, written into join tokens; asked late, as the port may be any. */
  readonly address: () => string | null;
  /** Aborts when the control plane stops. */
  readonly stopping: AbortSignal;
  /** A failure of ours, that somebody should look at. */
  readonly onError?: (error: MeshError) => void;
}

/** Handles one request; `peer` is who the connection's certificate proved, or null. Never rejects. */
export type ControlApi = (request: Request, peer: Peer | null) => Promise<Response>;

const tokenBody = z.object({
  service: labelName,
  namespace: z._default(labelName, "default"),
  ttl: z.optional(positiveDuration),
  kind: z._default(z.enum(["join", "reader"]), "join"),
});

export function createControlApi(options: ControlApiOptions): ControlApi {
  const { publisher, authority, ledger, clock, certTtlMs, trustDomain } = options;
  const { store, mesh } = publisher;
  const admission: AdmissionDeps = { authority, ledger, clock, certTtlMs };
  const access = { operatorToken: options.operatorToken, tokenKey: authority.tokenKey, mesh, trustDomain, clock };
  const app = new Hono<ApiEnv>();

  app.use(async (c, next) => {
    c.set("caller", await identifyCaller(c.req.raw, c.env.peer, access));
    await next();
  });

  app.get(
    "/v1/root",
    () => new Response(authority.rootsPem.join(""), { headers: { "content-type": "application/x-pem-file" } }),
  );
  app.post("/v1/join", async ({ req }) => admitted(await handleJoin(await readJson(req.raw), admission)));
  app.post("/v1/renew", async ({ req, env }) =>
    admitted(await handleRenew(env.peer, await readJson(req.raw), admission)),
  );
  const context: ApiContext = { publisher, clock, stopping: options.stopping };
  addMemberRoutes(app, context);

  // Everything below is the operator's, present routes and future ones; an unknown path tells a stranger nothing either.
  app.use(async ({ var: { caller } }, next) => {
    requireOperator(caller);
    await next();
  });
  addPublishRoutes(app, context);
  app.get("/v1/status", async () => Response.json(await meshStatus(store, clock)));
  app.post("/v1/tokens", async ({ req }) => {
    const { service, namespace, ttl, kind } = await readBody(req.raw, tokenBody);
    const nowMs = clock.epochMs();
    const ttlMs = parseDuration(ttl ?? (kind === "join" ? "10m" : "24h")) ?? 600_000;
    const spiffeId = meshId(trustDomain, namespace, service);
    const token = await mint();
    return Response.json({ token, kind, spiffeId: spiffeId.text, expiresAt: new Date(nowMs + ttlMs).toISOString() });

    async function mint(): Promise<string> {
      try {
        if (kind === "reader")
          return await createReaderToken(authority.tokenKey, { mesh, subject: spiffeId.text, ttlMs, nowMs });
        const { rootFingerprint } = authority;
        return await createJoinToken(authority.tokenKey, {
          mesh,
          spiffeId,
          rootFingerprint,
          control: options.address(),
          ttlMs,
          nowMs,
        });
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new MeshError("ERR_REQUEST_MALFORMED", `a ${kind} token cannot live ${ttl ?? ""}`, {
          advice: "Between 1s and 24h for a join token.",
          cause: error,
        });
      }
    }
  });
  app.notFound(({ req }) =>
    refuse(new MeshError("ERR_RESOURCE_NOT_FOUND", `there is no ${req.method} ${req.path.slice(0, 200)}`), "peer"),
  );
  app.onError((reason, { var: { caller } }) => {
    const error = MeshError.from(reason);
    if (error.status >= 500) options.onError?.(error);
    // Whoever is refused at the door must still learn how to come in.
    return refuse(error, caller?.kind === "operator" ? "app" : "peer");
  });

  return async (request, peer) => app.fetch(request, { peer });

  function admitted(reply: AdmissionReply): Response {
    return Response.json({ ...reply, configKey: options.configKey }, { headers: { "cache-control": "no-store" } });
  }

  function refuse(error: MeshError, audience: Audience): Response {
    return problemResponse(error, { audience, by: `control ${mesh}` });
  }
}
