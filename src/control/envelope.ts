/**
 * A version as it travels: canonical JSON of its documents with who, when and which around it. Whoever reads one trusts
 * nothing in it: size, depth, digest, numbers and every document are checked, and what fails is reported as a whole.
 */
import { MeshError } from "../errors.ts";
import { canonicalJson, digestOf } from "./canonical.ts";
import { checkResource } from "./check-resource.ts";
import { pathText } from "./problems.ts";
import { compareResources, resourceKey } from "./resource-key.ts";
import type { Resource } from "./resources.ts";
import type { StoredSnapshot } from "./store.ts";

/** What a store and a sidecar accept at most (R8): a bound nobody honest meets, checked on both sides. */
export const maxEnvelopeBytes = 1_048_576;
export const maxDocuments = 2_000;
export const maxStaticEndpoints = 10_000;
const maxEnvelopeDepth = 64;

/** A version whose documents are validated and in order. */
export interface Envelope {
  readonly mesh: string;
  readonly epoch: string;
  readonly version: number;
  /** Of the documents alone: equal content has an equal digest, whatever its number. */
  readonly digest: string;
  readonly documents: readonly Resource[];
}

/** Puts documents in order and computes their digest. */
export async function sealEnvelope(
  mesh: string,
  epoch: string,
  version: number,
  documents: readonly Resource[],
): Promise<Envelope> {
  const ordered = [...documents].sort(compareResources);
  return { mesh, epoch, version, digest: await digestOf(canonicalJson(ordered)), documents: ordered };
}

/** The text a store keeps. */
export function encodeEnvelope(envelope: Envelope): string {
  return canonicalJson({ schema: 1, ...envelope });
}

/**
 * Reads an envelope that anybody may have written. `mesh`, `epoch`, `version` and `digest` may be absent (an operator with
 * redis-cli), but what is there must agree with the store's pointer.
 *
 * @throws {MeshError} ERR_STORE_CORRUPT with every reason in its message
 */
export async function decodeEnvelope(stored: StoredSnapshot, mesh: string): Promise<Envelope> {
  const fields = parseBounded(stored.body);
  const say = (message: string): never => refuse(`version ${stored.version}: ${message}`);
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    return say("the envelope is not an object");
  const {
    schema = 1,
    mesh: named = mesh,
    epoch = stored.epoch,
    version = stored.version,
    digest,
    documents,
  } = fields as Record<string, unknown>;
  if (!Number.isSafeInteger(stored.version) || stored.version < 1) return say("not a version number");
  // R22: a later layout may mean something else by the same words.
  if (schema !== 1) return say(`schema ${String(schema)} is not known to this version of fetchmesh`);
  if (named !== mesh) return say(`it is for mesh "${String(named).slice(0, 80)}", not "${mesh}"`);
  if (epoch !== stored.epoch || version !== stored.version)
    return say("epoch or version differ from the store's pointer");
  if (!Array.isArray(documents)) return say("documents is not a list");
  if (documents.length > maxDocuments) return say(`more than ${maxDocuments} documents`);
  // The digest is of what was written, before this version's reading of it: defaults must not change it.
  if (digest !== undefined && digest !== (await digestOf(canonicalJson(documents))))
    return say("the digest does not match the documents");
  const resources = checkAll(documents, say);
  return {
    mesh,
    epoch: stored.epoch,
    version: stored.version,
    digest: typeof digest === "string" ? digest : await digestOf(canonicalJson(documents)),
    documents: resources,
  };
}

function checkAll(documents: readonly unknown[], say: (message: string) => never): Resource[] {
  const resources: Resource[] = [];
  const reasons: string[] = [];
  const seen = new Set<string>();
  let endpoints = 0;
  for (const [index, document] of documents.entries()) {
    const checked = checkResource(document);
    if ("issues" in checked) {
      for (const { path, message, suggestion } of checked.issues) {
        reasons.push(
          `documents[${index}] ${pathText(path)}: ${message}${suggestion === null ? "" : ` (${suggestion})`}`,
        );
      }
      continue;
    }
    const key = resourceKey(checked.resource);
    if (seen.has(key)) reasons.push(`${key} is there twice`);
    seen.add(key);
    if (checked.resource.kind === "Service") endpoints += checked.resource.spec.endpoints?.length ?? 0;
    resources.push(checked.resource);
  }
  if (endpoints > maxStaticEndpoints) reasons.push(`more than ${maxStaticEndpoints} static endpoints`);
  if (reasons.length > 0) {
    const more = reasons.length > 5 ? ` and ${reasons.length - 5} more` : "";
    return say(reasons.slice(0, 5).join("; ") + more);
  }
  return resources.sort(compareResources);
}

/**
 * JSON with bounds checked before it is parsed: a few KB of brackets must not become a stack overflow.
 *
 * @throws {MeshError} ERR_STORE_CORRUPT
 */
export function parseBounded(text: string, maxBytes: number = maxEnvelopeBytes): unknown {
  if (text.length > maxBytes || (text.length * 3 > maxBytes && new TextEncoder().encode(text).length > maxBytes))
    return refuse(`larger than ${maxBytes} bytes`);
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxEnvelopeDepth) return refuse(`nested deeper than ${maxEnvelopeDepth} levels`);
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MeshError("ERR_STORE_CORRUPT", "not JSON", { cause });
  }
}

function refuse(message: string): never {
  throw new MeshError("ERR_STORE_CORRUPT", message);
}
