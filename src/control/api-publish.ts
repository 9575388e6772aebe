/** The operator's verbs over HTTP: each call is one verb of publish.ts. */
import type { Hono } from "hono";
import * as z from "zod/mini";
import { MeshError } from "../errors.ts";
import type { ApiContext, ApiEnv } from "./api-context.ts";
import { readBody } from "./api-body.ts";
import { decodeEnvelope } from "./envelope.ts";
import { hasErrors, type Problem } from "./problems.ts";
import {
  applyDocuments,
  deleteDocument,
  diffDocuments,
  readCurrent,
  readVersion,
  rollbackTo,
  type Published,
  type PublishResult,
} from "./publish.ts";
import { serviceKey, type ServiceKey } from "./snapshot.ts";
import { waitUntilApplied } from "./status.ts";

const sources = z
  .array(z.object({ file: z.string().check(z.maxLength(4_096)), text: z.string() }))
  .check(z.minLength(1), z.maxLength(1_000));
const note = {
  message: z._default(z.string().check(z.maxLength(1_000)), ""),
  expectVersion: z.nullish(z.int().check(z.gte(0))),
  dryRun: z._default(z.boolean(), false),
  /** Milliseconds. */
  wait: z.nullish(z.number().check(z.gte(0), z.lte(300_000))),
};
const applyBody = z.object({ sources, ...note });
const sourcesBody = z.object({ sources });
const deleteBody = z.object({
  kind: z.string(),
  namespace: z._default(z.string(), "default"),
  name: z.string(),
  ...note,
});
const rollbackBody = z.object({ version: z.int().check(z.gte(1)), ...note });
const publishBody = z.object({
  expectedVersion: z.int().check(z.gte(0)),
  next: z.object({
    epoch: z.string().check(z.minLength(1), z.maxLength(128)),
    version: z.int().check(z.gte(1)),
    body: z.string(),
  }),
  history: z.object({ version: z.int(), author: z.string(), message: z.string(), at: z.string(), changes: z.int() }),
  digest: z.string().check(z.maxLength(128)),
});

type Note = z.infer<typeof applyBody>;

/** Adds the routes; whoever calls them has been found to be an operator. */
export function addPublishRoutes(app: Hono<ApiEnv>, { publisher, clock }: ApiContext): void {
  const { store } = publisher;
  const knownServices = async (): Promise<ReadonlySet<ServiceKey>> =>
    new Set((await store.registry.instances()).map(({ namespace, service }) => serviceKey(namespace, service)));
  const noteOf = ({ message, expectVersion, dryRun }: Pick<Note, "message" | "expectVersion" | "dryRun">) => ({
    author: "operator",
    message,
    dryRun,
    expectVersion: expectVersion ?? undefined,
  });
  const answer = async (
    result: PublishResult,
    { wait, dryRun }: Pick<Note, "wait" | "dryRun">,
    beganAtMs: number,
  ): Promise<Response> => {
    if ("refused" in result) return problemsResponse(result.refused);
    const body: Published & { applied?: unknown } = { ...result };
    if (typeof wait === "number" && !dryRun)
      body.applied = await waitUntilApplied(store, result.version, beganAtMs, wait, clock);
    return Response.json(body);
  };

  app.post("/v1/apply", async ({ req }) => {
    const body = await readBody(req.raw, applyBody);
    const beganAtMs = clock.epochMs();
    return answer(await applyDocuments(publisher, body.sources, noteOf(body), await knownServices()), body, beganAtMs);
  });
  app.post("/v1/validate", async ({ req }) => {
    const body = await readBody(req.raw, sourcesBody);
    const result = await applyDocuments(
      publisher,
      body.sources,
      { author: "operator", message: "", dryRun: true },
      await knownServices(),
    );
    return Response.json({ problems: "refused" in result ? result.refused : result.problems });
  });
  app.post("/v1/diff", async ({ req }) => {
    const body = await readBody(req.raw, sourcesBody);
    const { changes, problems } = await diffDocuments(publisher, body.sources, await knownServices());
    return hasErrors(problems) ? problemsResponse(problems) : Response.json({ changes, problems });
  });
  app.post("/v1/delete", async ({ req }) => {
    const body = await readBody(req.raw, deleteBody);
    const beganAtMs = clock.epochMs();
    return answer(await deleteDocument(publisher, body, noteOf(body), await knownServices()), body, beganAtMs);
  });
  app.post("/v1/rollback", async ({ req }) => {
    const body = await readBody(req.raw, rollbackBody);
    const beganAtMs = clock.epochMs();
    return answer(await rollbackTo(publisher, body.version, noteOf(body)), body, beganAtMs);
  });
  app.get("/v1/resources", async ({ req }) => {
    const asked = req.query("version");
    const envelope =
      asked === undefined ? await readCurrent(publisher) : await readVersion(publisher, versionNumber(asked));
    const [kind, namespace, name] = [req.query("kind")?.toLowerCase(), req.query("namespace"), req.query("name")];
    const resources = envelope.documents.filter(
      (document) =>
        (kind === undefined || document.kind.toLowerCase() === kind) &&
        (namespace === undefined || document.metadata.namespace === namespace) &&
        (name === undefined || document.metadata.name === name),
    );
    return Response.json({ version: envelope.version, resources });
  });
  app.get("/v1/history", async ({ req }) => {
    const limit = Math.min(1_000, Math.max(1, Number(req.query("limit") ?? 100) || 100));
    return Response.json({ versions: await store.config.history(limit) });
  });
  // The store contract's own write: for a publisher elsewhere that has made the envelope itself.
  app.post("/v1/publish", async ({ req }) => {
    const body = await readBody(req.raw, publishBody);
    const text = publisher.open === undefined ? body.next.body : await publisher.open(body.next.body);
    await decodeEnvelope({ ...body.next, body: text }, publisher.mesh);
    const signed =
      publisher.sign === undefined || text !== body.next.body ? body.next.body : await publisher.sign(text);
    await store.config.publish({ ...body, next: { ...body.next, body: signed } });
    return Response.json({});
  });
}

export function versionNumber(text: string): number {
  const version = /^[0-9]{1,15}$/.test(text) ? Number(text) : 0;
  if (version > 0) return version;
  throw new MeshError("ERR_REQUEST_MALFORMED", `"${text.slice(0, 40)}" is not a version number`, {
    advice: "See fetchmesh history.",
  });
}

/** Documents that were refused: RFC 9457 with every problem as a member. */
function problemsResponse(problems: readonly Problem[]): Response {
  const count = problems.filter(({ severity }) => severity === "error").length;
  const detail = `${count} ${count === 1 ? "error" : "errors"}; nothing was published`;
  const body = {
    type: "https://fetchmesh.dev/problems/ERR_RESOURCE_INVALID",
    title: "Invalid resource",
    status: 422,
    code: "ERR_RESOURCE_INVALID",
    detail,
    problems,
  };
  return new Response(JSON.stringify(body), {
    status: 422,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", server: "fetchmesh" },
  });
}
