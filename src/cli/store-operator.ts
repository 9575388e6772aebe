/** The operator's verbs on a store itself (`--store redis://…`, `--store file:…`): no control plane is needed. */
import { userInfo } from "node:os";
import { systemClock } from "../clock.ts";
import { orderReset } from "../control/breaker-exchange.ts";
import { openStore } from "../control/open-store.ts";
import { hasErrors } from "../control/problems.ts";
import {
  applyDocuments,
  deleteDocument,
  diffDocuments,
  type PublishNote,
  type Publisher,
  type PublishResult,
  readCurrent,
  readVersion,
  rollbackTo,
} from "../control/publish.ts";
import { importConfigKey, signSnapshot } from "../control/signature.ts";
import { serviceKey, type ServiceKey } from "../control/snapshot.ts";
import { meshStatus, waitUntilApplied } from "../control/status.ts";
import type { Store } from "../control/store.ts";
import { MeshError } from "../errors.ts";
import { systemRandom } from "../random.ts";
import { currentRuntime } from "../runtime/current.ts";
import { contextPaths, readContextFacts } from "./context.ts";
import { type Operator, type Published, type PublishOptions, RefusedError } from "./operator.ts";
import type { Settings } from "./settings.ts";

export async function openStoreOperator(url: string, settings: Settings): Promise<Operator> {
  if (url === "memory") {
    throw new MeshError(
      "ERR_OPTION_INVALID",
      "A memory store lives in its control plane's process and cannot be opened from here",
      {
        advice: "leave --store away to ask the control plane, or name redis://HOST:PORT or file:PATH",
      },
    );
  }
  const dir = settings.need("dir");
  const mesh = settings.get("mesh") ?? readContextFacts(dir)?.mesh ?? "default";
  const { files } = currentRuntime();
  const store = await openStore(url, {
    mesh,
    clock: systemClock,
    random: systemRandom,
    files,
    fetch: null,
    warn: () => {},
  });
  const key = await files.readText(`${contextPaths(dir).ca}/config.key.json`);
  const configKey = key === null ? null : await importConfigKey(key);
  const publisher: Publisher = {
    store,
    mesh,
    clock: systemClock,
    // Where the CA's key is at hand, versions are signed as the control plane signs them.
    ...(configKey !== null && { sign: (text: string) => signSnapshot(text, configKey) }),
  };
  return storeOperator(publisher);
}

function storeOperator(publisher: Publisher): Operator {
  const { store, clock } = publisher;
  return {
    async apply(sources, options) {
      const known = await knownServices(store);
      return publish(options, () => applyDocuments(publisher, sources, noteOf(options), known));
    },
    async validate(sources) {
      const note: PublishNote = { ...noteOf({}), dryRun: true };
      const result = await applyDocuments(publisher, sources, note, await knownServices(store));
      return "refused" in result ? result.refused : result.problems;
    },
    async remove(document, options) {
      const known = await knownServices(store);
      return publish(options, () => deleteDocument(publisher, document, noteOf(options), known));
    },
    async diff(sources) {
      const { changes, problems } = await diffDocuments(publisher, sources, await knownServices(store));
      if (hasErrors(problems)) throw new RefusedError(problems);
      return changes;
    },
    rollback: (version, options) => publish(options, () => rollbackTo(publisher, version, noteOf(options))),
    async resources({ kind, name, namespace, version }) {
      const envelope = version === undefined ? await readCurrent(publisher) : await readVersion(publisher, version);
      const isWanted = (document: (typeof envelope.documents)[number]): boolean =>
        (kind === undefined || document.kind.toLowerCase() === kind.toLowerCase()) &&
        (name === undefined || document.metadata.name === name) &&
        (namespace === undefined || document.metadata.namespace === namespace);
      return { version: envelope.version, resources: envelope.documents.filter(isWanted) };
    },
    history: (limit) => store.config.history(limit),
    status: () => meshStatus(store, clock),
    async forceBreaker(target, state, forMs) {
      const expiresAtMs = clock.epochMs() + forMs;
      await store.breaker.override({ ...target, state, expiresAtMs });
      return { service: target.service, endpoint: target.endpoint, state, until: new Date(expiresAtMs).toISOString() };
    },
    async resetBreaker({ service, namespace, endpoint }) {
      await orderReset(store.breaker, systemClock, { service, namespace, endpoint });
      return { service, endpoint, state: "reset", until: null };
    },
    close: () => store.close(),
  };

  async function publish(options: PublishOptions, work: () => Promise<PublishResult>): Promise<Published> {
    const beganAtMs = clock.epochMs();
    const result = await work();
    if ("refused" in result) throw new RefusedError(result.refused);
    const { waitMs, dryRun } = options;
    if (waitMs === undefined || dryRun === true) return result;
    return { ...result, applied: await waitUntilApplied(store, result.version, beganAtMs, waitMs, clock) };
  }
}

function noteOf({ message = "", expectVersion, dryRun }: PublishOptions): PublishNote {
  return { author: author(), message, expectVersion, dryRun };
}

function author(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run as a user that has no name.
    return "operator";
  }
}

async function knownServices(store: Store): Promise<ReadonlySet<ServiceKey>> {
  return new Set((await store.registry.instances()).map(({ namespace, service }) => serviceKey(namespace, service)));
}
