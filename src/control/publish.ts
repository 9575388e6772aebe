/**
 * The writing verbs: apply, delete, rollback. Each reads what is published, makes the next version of it, and writes it only
 * if nobody else wrote in between. All or nothing; the writer who lost reads again and repeats.
 */
import { stringify } from "yaml";
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { difference, upsert, withoutSides, type Change, type Edit } from "./changes.ts";
import { compileSnapshot } from "./compile.ts";
import { readDocuments, type DocumentSource } from "./documents.ts";
import {
  decodeEnvelope,
  encodeEnvelope,
  maxDocuments,
  maxEnvelopeBytes,
  sealEnvelope,
  type Envelope,
} from "./envelope.ts";
import { hasErrors, type Locate, type Problem } from "./problems.ts";
import { resourceKey } from "./resource-key.ts";
import type { Resource } from "./resources.ts";
import type { ServiceKey } from "./snapshot.ts";
import { openUnverified } from "./signed-body.ts";
import type { Store } from "./store.ts";
import { unifiedDiff } from "./unified-diff.ts";
import { validateDocuments } from "./validate.ts";
import { newEpoch } from "./version.ts";

/** Who publishes, and where to. */
export interface Publisher {
  readonly store: Store;
  readonly mesh: string;
  readonly clock: Clock;
  /** Wraps the envelope's text before it is stored. @default stored as it is */
  readonly sign?: (text: string) => Promise<string>;
  /** Takes a signed text apart again. @default openUnverified */
  readonly open?: (body: string) => Promise<string>;
}

export interface PublishNote {
  readonly author: string;
  readonly message: string;
  /** Publish only on top of this version. */
  readonly expectVersion?: number | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface Published {
  readonly version: number;
  readonly digest: string;
  readonly changes: readonly Change[];
  /** Warnings; errors refuse. */
  readonly problems: readonly Problem[];
}

export type PublishResult = Published | { readonly refused: readonly Problem[] };

export interface DocumentDiff {
  readonly changes: readonly (Change & { readonly patch: string })[];
  readonly problems: readonly Problem[];
}

/** What is published now; version 0 without documents if nothing is. @throws {MeshError} ERR_STORE_CORRUPT, ERR_STORE_UNAVAILABLE */
export async function readCurrent(publisher: Publisher): Promise<Envelope> {
  const stored = await publisher.store.config.current();
  if (stored === null) return { mesh: publisher.mesh, epoch: "", version: 0, digest: "", documents: [] };
  return decodeEnvelope({ ...stored, body: await openBody(publisher, stored.body) }, publisher.mesh);
}

/** @throws {MeshError} ERR_RESOURCE_NOT_FOUND if it was never published or is not kept any more */
export async function readVersion(publisher: Publisher, version: number): Promise<Envelope> {
  const stored = await publisher.store.config.version(version);
  if (stored === null) {
    throw new MeshError("ERR_RESOURCE_NOT_FOUND", `version ${version} is not kept`, {
      advice: "The last 20 versions are: see fetchmesh history.",
    });
  }
  return decodeEnvelope({ ...stored, body: await openBody(publisher, stored.body) }, publisher.mesh);
}

/** Upserts every document of `sources`, or none. @throws {MeshError} ERR_VERSION_CONFLICT if `expectVersion` is not current */
export function applyDocuments(
  publisher: Publisher,
  sources: readonly DocumentSource[],
  note: PublishNote,
  knownServices: ReadonlySet<ServiceKey>,
): Promise<PublishResult> {
  const read = readDocuments(sources);
  return commit(publisher, note, (current, at) => {
    const { documents, edits } = upsert(
      current.documents,
      read.resources.map(({ resource }) => resource),
      at,
    );
    const problems = [...read.problems, ...validateWritten(documents, read.resources, knownServices)];
    return { documents, edits, problems };
  });
}

/** @throws {MeshError} ERR_RESOURCE_NOT_FOUND, ERR_VERSION_CONFLICT */
export function deleteDocument(
  publisher: Publisher,
  target: { readonly kind: string; readonly namespace: string; readonly name: string },
  note: PublishNote,
  knownServices: ReadonlySet<ServiceKey>,
): Promise<PublishResult> {
  return commit(publisher, note, (current) => {
    const isTarget = ({ kind, metadata }: Resource): boolean =>
      kind.toLowerCase() === target.kind.toLowerCase() &&
      metadata.namespace === target.namespace &&
      metadata.name === target.name;
    const documents = current.documents.filter((document) => !isTarget(document));
    if (documents.length === current.documents.length) {
      throw new MeshError("ERR_RESOURCE_NOT_FOUND", `there is no ${target.kind} ${target.namespace}/${target.name}`, {
        advice: "List what there is: fetchmesh get.",
      });
    }
    return {
      documents,
      edits: difference(current.documents, documents),
      problems: broughtAbout(current.documents, documents, knownServices),
    };
  });
}

/** Publishes the documents of an older version as a new, higher one. @throws {MeshError} ERR_RESOURCE_NOT_FOUND, ERR_VERSION_CONFLICT */
export async function rollbackTo(publisher: Publisher, version: number, note: PublishNote): Promise<PublishResult> {
  const target = await readVersion(publisher, version);
  const message = note.message === "" ? `rollback to ${version}` : note.message;
  // References are not checked again: going back to what worked must not depend on what is up right now.
  return commit(publisher, { ...note, message }, (current) => ({
    documents: target.documents,
    edits: difference(current.documents, target.documents),
    problems: [],
  }));
}

/** What `applyDocuments` would change, as unified diffs of YAML. */
export async function diffDocuments(
  publisher: Publisher,
  sources: readonly DocumentSource[],
  knownServices: ReadonlySet<ServiceKey>,
): Promise<DocumentDiff> {
  const read = readDocuments(sources);
  const current = await readCurrent(publisher);
  const { documents, edits } = upsert(
    current.documents,
    read.resources.map(({ resource }) => resource),
    timestamp(publisher.clock),
  );
  const changes = edits
    .filter(({ action }) => action !== "unchanged")
    .map((edit) => ({
      ...withoutSides(edit),
      patch: unifiedDiff(`${edit.kind}/${edit.namespace}/${edit.name}.yaml`, yamlOf(edit.before), yamlOf(edit.after)),
    }));
  return { changes, problems: [...read.problems, ...validateWritten(documents, read.resources, knownServices)] };
}

/** Documents alone, as YAML, without what the mesh added. */
function yamlOf(document: Resource | null): string {
  if (document === null) return "";
  const { creationTimestamp: _, ...metadata } = document.metadata;
  return stringify({ ...document, metadata });
}

interface Plan {
  readonly documents: readonly Resource[];
  readonly edits: readonly Edit[];
  readonly problems: readonly Problem[];
}

// Somebody wins every round. With eight writers, nobody loses a thousand in a row unless something else is wrong.
const maxRounds = 1_000;

async function commit(
  publisher: Publisher,
  note: PublishNote,
  plan: (current: Envelope, at: string) => Plan,
): Promise<PublishResult> {
  const { store, clock, mesh } = publisher;
  for (let round = 1; ; round++) {
    const current = await readCurrentForWriting(publisher);
    if (note.expectVersion !== undefined && note.expectVersion !== current.version)
      throw conflict(current.version, note.expectVersion);
    const at = timestamp(clock);
    const { documents, edits, problems } = plan(current, at);
    if (hasErrors(problems)) return { refused: problems };
    const changes = edits.map(withoutSides);
    const changed = changes.filter(({ action }) => action !== "unchanged").length;
    if (changed === 0 && !current.isUnreadable)
      return { version: current.version, digest: current.digest, changes, problems };
    const epoch = current.version === 0 ? newEpoch(clock.epochMs(), current.epoch) : current.epoch;
    const next = await sealEnvelope(mesh, epoch, current.version + 1, documents);
    const text = encodeEnvelope(next);
    const tooMuch = exceeds(next, text);
    if (tooMuch !== null) return { refused: [...problems, tooMuch] };
    // What does not compile here would not compile anywhere.
    compileSnapshot(next);
    if (note.dryRun) return { version: next.version, digest: next.digest, changes, problems };
    const body = publisher.sign === undefined ? text : await publisher.sign(text);
    try {
      const history = { version: next.version, author: note.author, message: note.message, at, changes: changed };
      await store.config.publish({
        expectedVersion: current.version,
        next: { epoch, version: next.version, body },
        history,
        digest: next.digest,
      });
      return { version: next.version, digest: next.digest, changes, problems };
    } catch (error) {
      const lostRace = error instanceof MeshError && error.code === "ERR_VERSION_CONFLICT";
      // Reading again takes as long as the winner needed: no other pause spreads writers better.
      if (!lostRace || note.expectVersion !== undefined || round >= maxRounds) throw error;
    }
  }
}

/** A current version that nobody can read (somebody wrote garbage) must not lock the operator out: the next one replaces it. */
async function readCurrentForWriting(publisher: Publisher): Promise<Envelope & { readonly isUnreadable: boolean }> {
  try {
    return { ...(await readCurrent(publisher)), isUnreadable: false };
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== "ERR_STORE_CORRUPT") throw error;
    const pointer = await publisher.store.config.pointer();
    if (pointer === null) throw error;
    const documents = await lastReadable(publisher, pointer.version);
    return { mesh: publisher.mesh, ...pointer, digest: "", documents, isUnreadable: true };
  }
}

/** What sidecars go on using while the current version is garbage: the newest one before it that can be read. */
async function lastReadable(publisher: Publisher, below: number): Promise<readonly Resource[]> {
  for (let version = below - 1; version > 0 && version >= below - 20; version--) {
    try {
      return (await readVersion(publisher, version)).documents;
    } catch (error) {
      const isJustUnusable =
        error instanceof MeshError && (error.code === "ERR_STORE_CORRUPT" || error.code === "ERR_RESOURCE_NOT_FOUND");
      if (!isJustUnusable) throw error;
    }
  }
  return [];
}

function validateWritten(
  documents: readonly Resource[],
  written: readonly { resource: Resource; locate: Locate }[],
  knownServices: ReadonlySet<ServiceKey>,
): Problem[] {
  const places = new Map(written.map(({ resource, locate }) => [resourceKey(resource), locate]));
  const problems = validateDocuments(documents, {
    knownServices,
    locate: (document) => places.get(resourceKey(document)),
  });
  // What was published before is not this author's to fix: an instance that went away must not block every later change.
  return problems.filter(({ line }) => line > 0);
}

/** Problems that a change causes in documents it does not contain. */
function broughtAbout(
  before: readonly Resource[],
  after: readonly Resource[],
  knownServices: ReadonlySet<ServiceKey>,
): Problem[] {
  const context = { knownServices, locate: () => undefined };
  const known = new Set(validateDocuments(before, context).map(({ message }) => message));
  return validateDocuments(after, context).filter(({ message }) => !known.has(message));
}

function exceeds({ documents }: Envelope, text: string): Problem | null {
  const problem = (message: string): Problem => ({
    code: "FM0209",
    severity: "error",
    file: "published",
    line: 0,
    column: 0,
    message,
    suggestion: null,
  });
  if (documents.length > maxDocuments)
    return problem(`the mesh would have ${documents.length} documents; at most ${maxDocuments} are distributed`);
  const bytes = new TextEncoder().encode(text).length;
  return bytes > maxEnvelopeBytes
    ? problem(`all documents together would take ${bytes} bytes; at most ${maxEnvelopeBytes} are distributed`)
    : null;
}

function conflict(actual: number, expected: number): MeshError {
  return new MeshError("ERR_VERSION_CONFLICT", `the current version is ${actual}, not ${expected}`, {
    advice: "Read the current version and decide again.",
  });
}

const openBody = async (publisher: Publisher, body: string): Promise<string> =>
  publisher.open?.(body) ?? openUnverified(body);
const timestamp = (clock: Clock): string => new Date(clock.epochMs()).toISOString();
