/** Replies that the mesh makes itself, in one shape: who refused, why, what to do (RFC 9457). */
import { describeError, errorTable, type MeshError, type MeshErrorCode } from "./errors.ts";

/**
 * Who reads the reply, which decides what it may say.
 * - `app`: the application beside this sidecar, or an operator: everything, with the chain of causes.
 * - `peer`: an identified member of the mesh: the message, which may name an address, without causes.
 * - `public`: anybody else: nothing beyond what the code itself says.
 */
export type Audience = "app" | "peer" | "public";

export interface ProblemOptions {
  readonly audience: Audience;
  /** Who refused: `sidecar orders/orders-6f2c`, `control default`. */
  readonly by: string;
  readonly requestId?: string;
  /** A reply to HEAD has the headers of the body that it leaves out (RFC 9110 §9.3.2). */
  readonly isHead?: boolean;
}

/** Renders an error as a reply. Status, flag and title come from the table in `errors.ts`, and from nowhere else. */
export function problemResponse(error: MeshError, options: ProblemOptions): Response {
  const body = problemText(error, options);
  const headers: [string, string][] = [
    ["content-type", "application/problem+json"],
    ["content-length", String(utf8Length(body))],
    ["cache-control", "no-store"],
    ["server", "fetchmesh"],
    ["x-mesh-error", error.code],
  ];
  if (error.flag !== "") headers.push(["x-mesh-flag", error.flag]);
  if (error.retryAfterMs !== undefined)
    headers.push(["retry-after", String(Math.max(0, Math.ceil(error.retryAfterMs / 1000)))]);
  const known = knownHeaders[error.code];
  if (known !== undefined) headers.push(known);
  return new Response(options.isHead === true ? null : body, { status: error.status, headers });
}

/** The problem document as JSON text. */
export function problemText(error: MeshError, options: ProblemOptions): string {
  const { audience, by, requestId } = options;
  let text = leads[error.code];
  if (error.flag !== "") text += `,"flag":"${error.flag}"`;
  text += `,"detail":${JSON.stringify(detailFor(error, audience))}`;
  const advice = (audience === "public" ? undefined : error.advice) ?? advices[error.code];
  if (advice !== undefined) text += `,"advice":${JSON.stringify(advice)}`;
  if (requestId !== undefined && requestId !== "") text += `,"requestId":${JSON.stringify(requestId)}`;
  // The instance's name tells a stranger about the inside of the mesh.
  return `${text},"by":${JSON.stringify(audience === "public" ? "fetchmesh" : by)}}\n`;
}

function detailFor(error: MeshError, audience: Audience): string {
  if (audience === "app") return describeError(error);
  // The message of an unexpected error was written for a log; it can hold anything.
  return audience === "peer" && error.code !== "ERR_INTERNAL" ? error.message : error.title;
}

/** What is the same for every reply with a code, written once. */
const leads: Readonly<Record<MeshErrorCode, string>> = mapCodes(
  (code) =>
    `{"type":"https://fetchmesh.dev/problems/${code}","title":${JSON.stringify(errorTable[code].title)},` +
    `"status":${errorTable[code].status},"code":"${code}","origin":"${errorTable[code].origin}"`,
);

/** What to do when whoever threw had nothing better to say. Control errors have their advice in their problems list. */
const advices: Readonly<Partial<Record<MeshErrorCode, string>>> = {
  ERR_REQUEST_MALFORMED:
    "Send a request that RFC 9112 allows; the connection is closed because its framing cannot be trusted",
  ERR_REQUEST_TIMEOUT: "Send the request head faster, or raise the header timeout of the listener",
  ERR_REQUEST_TOO_LARGE: "Send a smaller body, or raise the limit of the listener",
  ERR_TARGET_TOO_LONG: "Move what is in the query into a body",
  ERR_HEADERS_TOO_LARGE: "Send fewer or shorter headers; cookies are the usual cause",
  ERR_EXPECTATION_FAILED: "Only `Expect: 100-continue` is understood",
  ERR_PEER_UNIDENTIFIED: "Call through a sidecar of this mesh, with a certificate that its CA issued",
  ERR_PEER_FORBIDDEN:
    "Ask the owner of the service for an AuthorizationPolicy that allows this caller, method and path",
  ERR_ROUTE_NOT_FOUND: "Add a rule that matches to the HTTPRoute of this service: `fetchmesh get HTTPRoute` lists them",
  ERR_SERVICE_UNKNOWN:
    "Start a sidecar for the service, or apply a Service document that names it; to reach a host outside the mesh, give it a Service with static endpoints",
  ERR_BACKEND_INVALID: "Correct the backendRefs of the route: `fetchmesh status` shows what was accepted",
  ERR_RATE_LIMITED: "Slow down, and retry after the time given in `retry-after` if there is one",
  ERR_OVERLOADED: "Retry with back-off; if this is normal load, raise the limits of the service's BackendPolicy",
  ERR_NO_ENDPOINT: "Check that instances of the service run and are healthy: `fetchmesh endpoints SERVICE`",
  ERR_CIRCUIT_OPEN: "Wait for the probe to close it, or look at why it opened: `fetchmesh endpoints SERVICE`",
  ERR_LOOP_DETECTED:
    "The request came back to where it had been: look for a route or a proxy setting that points at the mesh itself",
  ERR_NOT_READY: "Retry shortly: the sidecar has no config or certificate yet, or is draining",
  ERR_CONNECT_FAILED: "Check that something listens there: the instance may be starting or gone",
  ERR_CONNECT_TIMEOUT: "Check the network between here and there",
  ERR_UPSTREAM_IDENTITY:
    "Something else answers at this address than the service that was dialled: check the registration",
  ERR_UPSTREAM_RESET: "Look at the logs of the service called; the request may have been processed",
  ERR_UPSTREAM_PROTOCOL: "Look at what the service called sends; it is not valid HTTP",
  ERR_DEADLINE_EXCEEDED: "The service called was too slow: raise timeouts.request of its route, or look at why",
  ERR_DEADLINE_PAST: "The caller's time was over before the request arrived: look at what ran before it",
  ERR_STREAM_IDLE: "Nothing was sent for too long: send heartbeats, or raise the stream idle timeout",
  ERR_STORE_UNAVAILABLE: "Retry; what was applied before goes on working meanwhile",
  ERR_INTERNAL: "This is a defect of the mesh: its log has the details under the request id",
};

/** What clients and proxies made for Envoy look at. */
const knownHeaders: Readonly<Partial<Record<MeshErrorCode, [string, string]>>> = {
  ERR_OVERLOADED: ["x-envoy-overloaded", "true"],
  ERR_RATE_LIMITED: ["x-envoy-ratelimited", "true"],
  ERR_TOKEN_REFUSED: ["www-authenticate", 'Bearer error="invalid_token"'],
};

function mapCodes<T>(make: (code: MeshErrorCode) => T): Record<MeshErrorCode, T> {
  const codes = Object.keys(errorTable) as MeshErrorCode[];
  return Object.fromEntries(codes.map((code) => [code, make(code)])) as Record<MeshErrorCode, T>;
}

/** Bytes of `text` in UTF-8, without encoding it. */
function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // Each half of a surrogate pair counts two of the pair's four bytes; JSON.stringify leaves no half alone.
    if (code > 0x7f) bytes += code > 0x7ff && (code < 0xd800 || code > 0xdfff) ? 2 : 1;
  }
  return bytes;
}
