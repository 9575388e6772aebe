/**
 * The mesh's state as its control plane shows it over HTTPS: for sidecars without Redis and for the edge. Runs wherever there
 * is a `fetch`; who the caller is, the injected one proves.
 */
import { systemClock, type Clock } from "../clock.ts";
import { errorTable, MeshError, type MeshErrorCode } from "../errors.ts";
import { systemRandom, type Random } from "../random.ts";
import { HttpHints } from "./http-hints.ts";
import { httpBreaker, httpConfig, httpRegistry } from "./http-parts.ts";
import type { BreakerStore, ConfigStore, Hint, RegistryStore, Store } from "./store.ts";

export interface HttpStoreOptions {
  /** `https://host:port` of a control plane. */
  readonly control: string;
  /** Carries the client certificate where one is needed; never follows redirects. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Reader or operator token, sent as `Authorization: Bearer`. */
  readonly token?: string;
  /** @default systemClock */
  readonly clock?: Clock;
  /** @default systemRandom */
  readonly random?: Random;
  /** Listen for server-sent hints; without them everything is learnt by polling. @default true */
  readonly hints?: boolean;
}

export function httpStore(options: HttpStoreOptions): Store {
  return new HttpStore(options);
}

const requestTimeoutMs = 5_000;
/** The control plane sends at most a snapshot, which is bounded. */
const maxReplyChars = 4_194_304;

export type HttpCall = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<HttpReply>;

export interface HttpReply {
  readonly status: number;
  readonly etag: string | null;
  /** Parsed JSON; null without a body. */
  readonly body: unknown;
}

class HttpStore implements Store {
  readonly kind = "http";
  readonly name: string;
  readonly config: ConfigStore;
  readonly registry: RegistryStore;
  readonly breaker: BreakerStore;
  isConnected = false;
  readonly #base: string;
  readonly #fetch: (request: Request) => Promise<Response>;
  readonly #token: string | null;
  readonly #clock: Clock;
  readonly #hints: HttpHints;
  #isClosed = false;

  constructor({ control, fetch, token, clock = systemClock, random = systemRandom, hints = true }: HttpStoreOptions) {
    const url = new URL(control);
    this.name = url.origin;
    this.#base = url.origin;
    this.#fetch = fetch;
    this.#token = token ?? null;
    this.#clock = clock;
    const call: HttpCall = (...request) => this.#call(...request);
    this.config = httpConfig(call);
    this.registry = httpRegistry(call);
    this.breaker = httpBreaker(call, clock);
    this.#hints = new HttpHints({
      open: (signal) =>
        this.#fetch(this.#request("GET", "/v1/events", undefined, { accept: "text/event-stream" }, signal)),
      clock,
      random,
      isOn: hints,
    });
  }

  watch(listener: (hint: Hint) => void): () => void {
    return this.#hints.watch(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#hints.close();
  }

  #request(
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Request {
    const all = new Headers(headers);
    if (this.#token !== null) all.set("authorization", `Bearer ${this.#token}`);
    const init: RequestInit = { method, headers: all, signal, redirect: "manual" };
    if (body !== undefined) {
      all.set("content-type", "application/json");
      init.body = JSON.stringify(body);
    }
    return new Request(this.#base + path, init);
  }

  async #call(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpReply> {
    if (this.#isClosed) throw new MeshError("ERR_STORE_UNAVAILABLE", `${this.name}: closed`);
    const abort = new AbortController();
    const timer = this.#clock.after(requestTimeoutMs, () => abort.abort());
    let reply: Response;
    let text: string;
    try {
      reply = await this.#fetch(this.#request(method, path, body, headers, abort.signal));
      text = await reply.text();
    } catch (cause) {
      this.isConnected = false;
      throw new MeshError("ERR_STORE_UNAVAILABLE", `the control plane at ${this.name} does not answer`, {
        cause,
        advice: "What was applied before goes on working; check that it runs and is reachable.",
      });
    } finally {
      timer.cancel();
    }
    if (reply.status >= 500 || text.length > maxReplyChars) {
      this.isConnected = false;
      throw new MeshError("ERR_STORE_UNAVAILABLE", `the control plane at ${this.name} answered ${reply.status}`);
    }
    this.isConnected = true;
    if (reply.status >= 300 && reply.status !== 304) throw refusal(this.name, reply.status, text);
    return { status: reply.status, etag: reply.headers.get("etag"), body: text === "" ? null : parse(text, this.name) };
  }
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MeshError("ERR_STORE_CORRUPT", `the control plane at ${name} sent something that is not JSON`, { cause });
  }
}

/** A refusal in the control plane's own words (RFC 9457). */
function refusal(name: string, status: number, text: string): MeshError {
  let problem: { code?: unknown; detail?: unknown; advice?: unknown } = {};
  try {
    problem = (JSON.parse(text) as typeof problem | null) ?? {};
  } catch {
    // The status has to do.
  }
  const { code, detail, advice } = problem;
  const known =
    typeof code === "string" && Object.hasOwn(errorTable, code) ? (code as MeshErrorCode) : "ERR_STORE_UNAVAILABLE";
  const message = typeof detail === "string" ? detail.slice(0, 500) : `the control plane at ${name} answered ${status}`;
  return new MeshError(known, message, typeof advice === "string" ? { advice: advice.slice(0, 500) } : {});
}
