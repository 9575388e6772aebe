/** The control plane's API as an operator calls it: over our own wire, believing the mesh's root and nobody else. */
import { systemClock } from "../clock.ts";
import type { DocumentSource } from "../control/documents.ts";
import type { Problem } from "../control/problems.ts";
import type { MeshStatus } from "../control/status.ts";
import { errorTable, MeshError, type MeshErrorCode } from "../errors.ts";
import { readCertificate } from "../identity/certificate.ts";
import { controlTls } from "../identity/control-tls.ts";
import { decodePem, splitCertificates } from "../identity/pem.ts";
import { currentRuntime } from "../runtime/current.ts";
import { wireFetch } from "../transport/wire-fetch.ts";
import type { WireFetch } from "../transport/wire-options.ts";
import type { ControlAccess } from "./context.ts";
import {
  type BreakerTarget,
  type DocumentChange,
  type ForcedBreaker,
  type HistoryRow,
  type Operator,
  type Published,
  type PublishOptions,
  RefusedError,
  type ResourceFilter,
  type Resources,
} from "./operator.ts";

export interface TokenRequest {
  readonly service: string;
  readonly namespace: string;
  readonly ttlMs: number;
  /** @default "join" */
  readonly kind?: "join" | "reader";
}

export interface CreatedToken {
  readonly token: string;
  readonly spiffeId: string;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** The most that a call may take, besides what it was asked to wait. */
const timeoutMs = 15_000;

export class ControlClient implements Operator {
  readonly #access: ControlAccess;
  readonly #fetch: WireFetch;

  constructor(access: ControlAccess) {
    this.#access = access;
    const trust = { rootsPem: splitCertificates(access.rootPem) };
    this.#fetch = wireFetch(currentRuntime().transport, {
      tls: controlTls(trust, trustDomainOf(trust.rootsPem), systemClock, null),
    });
  }

  apply(sources: readonly DocumentSource[], options: PublishOptions): Promise<Published> {
    return this.#publish("/v1/apply", { sources }, options);
  }

  async validate(sources: readonly DocumentSource[]): Promise<readonly Problem[]> {
    return (await this.#call<{ problems: readonly Problem[] }>("POST", "/v1/validate", { sources })).problems;
  }

  remove(document: { kind: string; namespace: string; name: string }, options: PublishOptions): Promise<Published> {
    return this.#publish("/v1/delete", document, options);
  }

  async diff(sources: readonly DocumentSource[]): Promise<readonly DocumentChange[]> {
    return (await this.#call<{ changes: readonly DocumentChange[] }>("POST", "/v1/diff", { sources })).changes;
  }

  rollback(version: number, options: PublishOptions): Promise<Published> {
    return this.#publish("/v1/rollback", { version }, options);
  }

  resources(filter: ResourceFilter): Promise<Resources> {
    const asked = Object.entries(filter).map(([name, value]) => [name, String(value)]);
    return this.#call("GET", `/v1/resources?${new URLSearchParams(asked).toString()}`);
  }

  async history(limit: number): Promise<readonly HistoryRow[]> {
    return (await this.#call<{ versions: readonly HistoryRow[] }>("GET", `/v1/history?limit=${limit}`)).versions;
  }

  status(): Promise<MeshStatus> {
    return this.#call("GET", "/v1/status");
  }

  forceBreaker(target: BreakerTarget, state: "forced-open" | "forced-closed", forMs: number): Promise<ForcedBreaker> {
    return this.#call("POST", "/v1/breakers/override", { ...target, state, forMs });
  }

  resetBreaker(target: BreakerTarget): Promise<ForcedBreaker> {
    return this.#call("POST", "/v1/breakers/reset", target);
  }

  createToken({ service, namespace, ttlMs, kind = "join" }: TokenRequest): Promise<CreatedToken> {
    return this.#call("POST", "/v1/tokens", { service, namespace, kind, ttl: durationText(ttlMs) });
  }

  async close(): Promise<void> {
    this.#fetch.close();
  }

  #publish(path: string, what: object, options: PublishOptions): Promise<Published> {
    const { message = "", expectVersion, dryRun = false, waitMs } = options;
    return this.#call("POST", path, { ...what, message, expectVersion, dryRun, wait: waitMs }, waitMs);
  }

  /** @throws {RefusedError} for documents that were refused; {MeshError} as the control plane worded it, or ERR_CONNECT_FAILED */
  async #call<T>(method: "GET" | "POST", path: string, body?: object, waitMs = 0): Promise<T> {
    const { control, operatorToken } = this.#access;
    const headers = { authorization: `Bearer ${operatorToken}`, "content-type": "application/json" };
    const request = new Request(`${control}${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(timeoutMs + waitMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const response = await this.#fetch(request).catch((cause: unknown) => Promise.reject(unreachable(control, cause)));
    const text = await response.text();
    if (response.status === 200) return JSON.parse(text) as T;
    throw refusal(control, response.status, text);
  }
}

/** Gateway API's notation, of which each number has at most five digits: "600s" and not "600000ms". */
function durationText(ms: number): string {
  const parts = [
    [Math.floor(ms / 3_600_000), "h"],
    [Math.floor(ms / 1_000) % 3_600, "s"],
    [ms % 1_000, "ms"],
  ] as const;
  return parts.map(([amount, unit]) => (amount === 0 ? "" : `${amount}${unit}`)).join("");
}

function unreachable(control: string, cause: unknown): MeshError {
  const isOther = cause instanceof MeshError && cause.code === "ERR_UPSTREAM_IDENTITY";
  return new MeshError(
    isOther ? "ERR_UPSTREAM_IDENTITY" : "ERR_CONNECT_FAILED",
    `Cannot reach the control plane at ${control}`,
    {
      cause,
      advice: isOther
        ? "something else listens there, or the control plane was made anew: take the context (--dir) that it wrote"
        : "start it with `fetchmesh dev` or `fetchmesh control`, or name another with --dir or --control",
    },
  );
}

/** An RFC 9457 document as an error of ours; its words are the control plane's. */
function refusal(control: string, status: number, text: string): Error {
  let problem: Record<string, unknown> = {};
  try {
    problem = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // Not a problem document: the status has to do.
  }
  const { code, detail, title, advice, problems } = problem;
  if (Array.isArray(problems)) return new RefusedError(problems as Problem[]);
  const known =
    typeof code === "string" && Object.hasOwn(errorTable, code) ? (code as MeshErrorCode) : "ERR_UPSTREAM_PROTOCOL";
  const message =
    typeof detail === "string"
      ? detail
      : typeof title === "string"
        ? title
        : `The control plane at ${control} answered ${status}`;
  return new MeshError(known, message, typeof advice === "string" ? { advice } : {});
}

/** A mesh's root says of which trust domain it is; who gives us the root tells us that, too. */
function trustDomainOf(rootsPem: readonly string[]): string {
  const [der] = rootsPem.flatMap((pem) => decodePem(pem, "CERTIFICATE"));
  const certificate = der === undefined ? "it holds no certificate" : readCertificate(der);
  const uri = typeof certificate === "string" ? undefined : certificate.extensions.subjectAltName?.uris[0];
  if (uri?.startsWith("spiffe://")) return uri.slice("spiffe://".length);
  const why = typeof certificate === "string" ? certificate : "it names no trust domain";
  throw new MeshError("ERR_OPTION_INVALID", `The root certificate is not one of a mesh: ${why}`, {
    advice: "pass --ca FILE with root.pem of the control plane's context, or what `fetchmesh ca export` prints there",
  });
}
