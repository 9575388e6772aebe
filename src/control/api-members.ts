/** What members of the mesh read and write: snapshots, hints, the registry, and breakers. */
import type { Hono } from "hono";
import * as z from "zod/mini";
import { MeshError } from "../errors.ts";
import type { Peer } from "../identity/peer.ts";
import { requireOperator, requirePeer, requireReader } from "./api-access.ts";
import { readBody } from "./api-body.ts";
import type { ApiContext, ApiEnv } from "./api-context.ts";
import { eventStream } from "./api-events.ts";
import { versionNumber } from "./api-publish.ts";
import { orderReset } from "./breaker-exchange.ts";
import { breakerVote, endpoint } from "./breaker-record.ts";
import { labelName } from "./resource-common.ts";
import { isInstanceId, readRecord } from "./registry-record.ts";
import type { InstanceRecord, StoredSnapshot } from "./store.ts";

const putInstance = z.object({ record: z.unknown(), ttlMs: z.number().check(z.gte(1_000), z.lte(300_000)) });
const overrideBody = z.object({
  service: labelName,
  namespace: z._default(labelName, "default"),
  endpoint: z._default(z.nullable(endpoint), null),
  state: z.enum(["forced-open", "forced-closed"]),
  /** A day is longer than anybody should rely on a forced breaker. */
  forMs: z._default(z.number().check(z.gte(1), z.lte(86_400_000)), 300_000),
});
const resetBody = z.object({
  service: labelName,
  namespace: z._default(labelName, "default"),
  endpoint: z._default(z.nullable(endpoint), null),
  /** Take back votes and orders, and leave what callers counted themselves. */
  ordersOnly: z._default(z.boolean(), false),
});

// A vote is a caller's word about the next minutes; one that never ends would outlive its reason.
const maxVoteMs = 600_000;

export function addMemberRoutes(app: Hono<ApiEnv>, { publisher, clock, stopping }: ApiContext): void {
  const { store } = publisher;

  app.get("/v1/pointer", async ({ var: { caller } }) => {
    requireReader(caller);
    return Response.json(await store.config.pointer(), { headers: { "cache-control": "no-store" } });
  });
  app.get("/v1/snapshot", async ({ req, var: { caller } }) => {
    requireReader(caller);
    const known = req.header("if-none-match");
    const pointer = await store.config.pointer();
    if (pointer === null) return new Response(null, { status: 204 });
    // The pointer alone answers those who have it already: no body is read for them.
    const tag = etag(pointer);
    if (known !== undefined && known.split(",").some((each) => each.trim().replace(/^W\//, "") === tag)) {
      return new Response(null, { status: 304, headers: { etag: tag } });
    }
    const stored = await store.config.current();
    return stored === null ? new Response(null, { status: 204 }) : snapshotResponse(stored);
  });
  app.get("/v1/snapshot/:version", async ({ req, var: { caller } }) => {
    requireReader(caller);
    const version = versionNumber(req.param("version"));
    const stored = await store.config.version(version);
    if (stored === null)
      throw new MeshError("ERR_RESOURCE_NOT_FOUND", `version ${version} is not kept`, {
        advice: "See fetchmesh history.",
      });
    return snapshotResponse(stored);
  });
  app.get("/v1/events", ({ req, var: { caller } }) => {
    requireReader(caller);
    return eventStream(store, clock, [req.raw.signal, stopping]);
  });

  app.get("/v1/instances", async ({ var: { caller } }) => {
    requireReader(caller);
    const [instances, departed] = await Promise.all([store.registry.instances(), store.registry.departed()]);
    return Response.json({ instances, departed });
  });
  app.put("/v1/instances/:id", async ({ req, var: { caller } }) => {
    const peer = requirePeer(caller);
    const { record: given, ttlMs } = await readBody(req.raw, putInstance);
    const record = readRecord(given);
    if (record === null || record.id !== req.param("id")) {
      throw new MeshError("ERR_REQUEST_MALFORMED", "The instance record is not one", {
        advice: "Sidecar and control plane must be of compatible versions.",
      });
    }
    requireOwn(peer, record.service, record.namespace);
    if (record.spiffeId !== peer.id.text) throw notYours(peer, `register ${record.spiffeId}`);
    await requireSameService(record.id, record);
    await store.registry.register(record, ttlMs);
    return new Response(null, { status: 204 });
  });
  app.delete("/v1/instances/:id", async ({ req, var: { caller } }) => {
    const peer = requirePeer(caller);
    const place = { service: req.query("service") ?? "", namespace: req.query("namespace") ?? "" };
    requireOwn(peer, place.service, place.namespace);
    const id = req.param("id");
    if (!isInstanceId(id))
      throw new MeshError("ERR_REQUEST_MALFORMED", "The instance id is not one", {
        advice: "Letters, digits, dots, hyphens and underscores, at most 128.",
      });
    await requireSameService(id, place);
    await store.registry.deregister(id, place.service, place.namespace);
    return new Response(null, { status: 204 });
  });

  app.get("/v1/breakers", async ({ var: { caller } }) => {
    requireReader(caller);
    const [votes, overrides] = await Promise.all([store.breaker.votes(), store.breaker.overrides()]);
    return Response.json({ votes, overrides });
  });
  app.post("/v1/breakers/vote", async ({ req, var: { caller } }) => {
    const vote = await readBody(req.raw, breakerVote);
    await requireVoter(requirePeer(caller), vote.voter);
    await store.breaker.vote({ ...vote, expiresAtMs: Math.min(vote.expiresAtMs, clock.epochMs() + maxVoteMs) });
    return new Response(null, { status: 204 });
  });
  app.post("/v1/breakers/withdraw", async ({ req, var: { caller } }) => {
    const vote = await readBody(req.raw, breakerVote);
    await requireVoter(requirePeer(caller), vote.voter);
    await store.breaker.withdraw(vote);
    return new Response(null, { status: 204 });
  });
  app.post("/v1/breakers/override", async ({ req, var: { caller } }) => {
    requireOperator(caller);
    const { forMs, ...place } = await readBody(req.raw, overrideBody);
    const override = { ...place, expiresAtMs: Math.round(clock.epochMs() + forMs) };
    await store.breaker.override(override);
    return Response.json({
      service: place.service,
      endpoint: place.endpoint,
      state: place.state,
      until: new Date(override.expiresAtMs).toISOString(),
    });
  });
  app.post("/v1/breakers/reset", async ({ req, var: { caller } }) => {
    requireOperator(caller);
    const { service, namespace, endpoint, ordersOnly } = await readBody(req.raw, resetBody);
    if (ordersOnly) await store.breaker.reset(service, namespace, endpoint);
    else await orderReset(store.breaker, clock, { service, namespace, endpoint });
    return Response.json({ service, endpoint, state: "reset", until: null });
  });

  /** An id that another service holds is not taken over by knowing it. */
  async function requireSameService(
    id: string,
    { service, namespace }: { service: string; namespace: string },
  ): Promise<void> {
    const holder = (await store.registry.instances()).find((record) => record.id === id);
    if (holder === undefined || (holder.service === service && holder.namespace === namespace)) return;
    throw new MeshError("ERR_PEER_FORBIDDEN", `instance ${id} belongs to another service`, {
      advice: "Start with another --instance.",
    });
  }

  /** One registered instance, one vote: nobody votes for others, or for instances it made up. */
  async function requireVoter(peer: Peer, voter: string): Promise<InstanceRecord> {
    const record = (await store.registry.instances()).find(
      ({ id, spiffeId }) => id === voter && spiffeId === peer.id.text,
    );
    if (record === undefined) throw notYours(peer, `vote as ${voter}`);
    return record;
  }
}

function requireOwn(peer: Peer, service: string, namespace: string): void {
  if (peer.id.service !== service || peer.id.namespace !== namespace)
    throw notYours(peer, `write instances of ${namespace}/${service}`);
}

function notYours(peer: Peer, what: string): MeshError {
  return new MeshError("ERR_PEER_FORBIDDEN", `${peer.id.text} may not ${what}`, {
    advice: "A workload writes only what is its own.",
  });
}

const etag = ({ epoch, version }: { epoch: string; version: number }): string => `"${epoch}.${version}"`;

function snapshotResponse({ epoch, version, body }: StoredSnapshot): Response {
  const headers = { "content-type": "application/json", "cache-control": "no-cache", etag: etag({ epoch, version }) };
  return new Response(JSON.stringify({ epoch, version, body }), { headers });
}
