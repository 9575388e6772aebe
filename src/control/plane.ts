/** A control plane as one piece: CA, API and store behind one TLS listener, and the context directory that leads to it. */
import type { Clock } from "../clock.ts";
import { describeError, MeshError } from "../errors.ts";
import { loadAuthority } from "../identity/authority-files.ts";
import { controlId } from "../identity/spiffe-id.ts";
import { verifyPeerChain } from "../identity/svid.ts";
import { openTokenLedger } from "../identity/token-ledger.ts";
import { issuedWorkload } from "../identity/workload.ts";
import { randomHex, type Random } from "../random.ts";
import type { SocketTransport } from "../runtime/contract.ts";
import type { Files } from "../runtime/files.ts";
import { serveFetch } from "../transport/serve-fetch.ts";
import { createControlApi } from "./api.ts";
import { applyDocuments, type Publisher } from "./publish.ts";
import { keepSeeded } from "./reseed.ts";
import { generateConfigKey, importConfigKey, signSnapshot, verifySnapshot, type ConfigKey } from "./signature.ts";
import { memoryStore } from "./store-memory.ts";
import type { Store } from "./store.ts";

export interface ControlPlaneOptions {
  /** Closed by whoever opened it. */
  readonly store: Store;
  readonly listen: { readonly host: string; readonly port: number };
  readonly mesh: string;
  readonly trustDomain: string;
  /** Life of a workload's certificate. @default 86400000 */
  readonly certTtlMs?: number;
  /** The context directory; made if it is not there. */
  readonly dir: string;
  readonly transport: SocketTransport;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: (level: "info" | "warn" | "error", message: string) => void;
}

export interface ControlPlane {
  /** `https://host:port` */
  readonly address: string;
  readonly port: number;
  readonly operatorToken: string;
  readonly rootPem: string;
  /** "sha256:<hex>" */
  readonly rootFingerprint: string;
  /** Makes and signs versions in this process, as the API does for others. */
  readonly publisher: Publisher;
  /** Answers what is in flight, then stops. */
  close(): Promise<void>;
}

const dayMs = 86_400_000;
const drainMs = 2_000;

/** @throws {MeshError} ERR_OPTION_INVALID if the directory holds a CA that cannot be used; what `transport.listen` throws */
export async function createControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { store, mesh, trustDomain, dir, files, clock, random, transport, certTtlMs = dayMs, log = () => {} } = options;
  const inCa = (name: string): string => `${dir}/ca/${name}`;
  const authority = await loadAuthority(
    { read: (name) => files.readText(inCa(name)), write: (name, text) => files.writeAtomic(inCa(name), text, 0o600) },
    {
      trustDomain,
      mesh,
      clock,
      issued: ({ spiffeId, serial }) => log("info", `issued a certificate for ${spiffeId}, serial ${serial}`),
      failed: (error) =>
        log("error", `the CA's intermediate certificate could not be renewed: ${describeError(error)}`),
    },
  );
  const ledger = await openTokenLedger({
    clock,
    file: {
      load: () => files.readText(inCa("tokens.used.json")),
      save: (text) => files.writeAtomic(inCa("tokens.used.json"), text, 0o600),
    },
  });
  const configKey = await loadConfigKey(files, inCa("config.key.json"));
  const operatorToken = await loadOperatorToken(files, `${dir}/operator.token`);
  const publisher: Publisher = {
    store,
    mesh,
    clock,
    sign: (text) => signSnapshot(text, configKey),
    open: (body) => verifySnapshot(body, configKey.publicKey),
  };

  let address: string | null = null;
  const stopping = new AbortController();
  const api = createControlApi({
    publisher,
    authority,
    ledger,
    operatorToken,
    trustDomain,
    certTtlMs,
    clock,
    configKey: configKey.publicJwk,
    address: () => address,
    stopping: stopping.signal,
    onError: (error) => log("error", describeError(error)),
  });
  const own = await issuedWorkload({
    spiffeId: controlId(trustDomain),
    request: async (csr) => {
      const { chainPem } = await authority.issue(csr, controlId(trustDomain), {
        ttlMs: Math.max(certTtlMs, 60_000),
        ...namesOf(options.listen.host),
      });
      return { chainPem, rootsPem: authority.rootsPem };
    },
    clock,
    random,
    events: { certificateFailed: (reason) => log("error", reason) },
  });
  const tls = { identity: own.current.identity, trust: own.current.trust, clientAuth: "requested" } as const;
  const server = await serveFetch(
    transport,
    { ...options.listen, tls },
    (request, { socket }) => {
      const peer =
        socket.peerCertificates.length === 0
          ? null
          : verifyPeerChain(socket.peerCertificates, { trustDomain, nowMs: clock.epochMs() });
      return api(request, typeof peer === "string" ? null : peer);
    },
    {
      clock,
      maxBodyBytes: 4_194_304,
      events: { handshakeRefused: (reason, from) => log("warn", `refused a connection from ${from}: ${reason}`) },
    },
  );
  const stopRenewing = own.onChange(({ identity, trust }) => server.rotate(identity, trust));
  address = `https://${urlHost(options.listen.host)}:${server.port}`;
  const reseeding = keepSeeded({
    publisher,
    random,
    onReseeded: (version) => log("warn", `the store had lost its config: published it again as version ${version}`),
  });

  const rootPem = authority.rootsPem.join("");
  await files.writeAtomic(`${dir}/root.pem`, rootPem, 0o644);
  const facts = { control: address, mesh, trustDomain, rootFingerprint: authority.rootFingerprint };
  // Last: whoever finds it finds the others.
  await files.writeAtomic(`${dir}/context.json`, `${JSON.stringify(facts, null, 2)}\n`, 0o644);

  void rehearse(publisher);
  return {
    address,
    port: server.port,
    operatorToken,
    rootPem,
    rootFingerprint: authority.rootFingerprint,
    publisher,
    async close() {
      stopping.abort();
      reseeding.close();
      stopRenewing();
      own.close();
      await server.drain(drainMs);
      await server.close();
    },
  };
}

/**
 * Goes once through everything that publishing does, into a store that is thrown away: the first use of the parsers costs
 * more than all the rest of a publish, and must not fall into an operator's first one.
 */
async function rehearse(publisher: Publisher): Promise<void> {
  const sources = [{ file: "rehearsal", text: rehearsal }];
  const note = { author: "control", message: "" };
  await applyDocuments({ ...publisher, store: memoryStore(publisher.clock) }, sources, note, new Set()).catch(() => {});
}

const rehearsal = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: rehearsal}
spec:
  parentRefs: [{kind: Service, name: rehearsal}]
  rules: [{backendRefs: [{name: rehearsal}]}]
---
apiVersion: fetchmesh.dev/v1alpha1
kind: Service
metadata: {name: rehearsal}
`;

async function loadConfigKey(files: Files, path: string): Promise<ConfigKey> {
  const text = await files.readText(path);
  if (text !== null) return importConfigKey(text);
  const key = await generateConfigKey();
  await files.writeAtomic(path, key.text, 0o600);
  return key;
}

/** Kept over restarts, so that operators' scripts go on working. */
async function loadOperatorToken(files: Files, path: string): Promise<string> {
  const known = (await files.readText(path))?.trim();
  if (known !== undefined) {
    if (/^[A-Za-z0-9_-]{32,}$/.test(known)) return known;
    throw new MeshError("ERR_OPTION_INVALID", `${path} does not hold an operator's token`, {
      advice: "Remove it: a new one is made at the next start.",
    });
  }
  const token = randomHex(32);
  await files.writeAtomic(path, `${token}\n`, 0o600);
  return token;
}

/** Names a client may call us by; its SPIFFE ID is what members of the mesh go by. */
function namesOf(host: string): { dnsNames: string[]; ipAddresses: string[] } {
  const bare = host.replace(/^\[|\]$/g, "");
  const isAddress = /^[0-9.]+$/.test(bare) || bare.includes(":");
  const isAny = bare === "0.0.0.0" || bare === "::";
  return {
    dnsNames: ["localhost", ...(isAddress || bare === "localhost" ? [] : [bare])],
    ipAddresses: ["127.0.0.1", "::1", ...(isAddress && !isAny && bare !== "127.0.0.1" && bare !== "::1" ? [bare] : [])],
  };
}

/** An address others can dial: nobody connects to "every interface". */
function urlHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::" || host === "[::]") return "[::1]";
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}
