/**
 * The one error of the mesh and the one table that says what each code means on the wire.
 * Policies decide on facts, never on messages: retry reads `sent`, breakers and metrics read `origin`.
 */

/** Who is to blame: the caller, the mesh itself, the service called, or the control plane. */
export type ErrorOrigin = "downstream" | "mesh" | "upstream" | "control";

/** How much of the request had left for the upstream when it failed. Retry decides on this fact alone. */
export type Sent = "nothing" | "head" | "body";

/** Envoy's response flags plus our documented extensions; the empty string is "no flag". */
export type ResponseFlag =
  | ""
  | "UH"
  | "UF"
  | "UO"
  | "NR"
  | "URX"
  | "NC"
  | "DC"
  | "UT"
  | "UR"
  | "UC"
  | "RL"
  | "SI"
  | "DPE"
  | "UPE"
  | "OM"
  | "BO"
  | "BQ"
  | "RB"
  | "DX"
  | "AZ"
  | "LOOP";

interface ErrorMeaning {
  readonly status: number;
  readonly flag: ResponseFlag;
  readonly origin: ErrorOrigin;
  /** RFC 9457 `title`: stable, free of request data. */
  readonly title: string;
}

const meanings = {
  ERR_REQUEST_MALFORMED: { status: 400, flag: "DPE", origin: "downstream", title: "Malformed request" },
  ERR_REQUEST_TIMEOUT: { status: 408, flag: "DPE", origin: "downstream", title: "Request head took too long" },
  ERR_REQUEST_TOO_LARGE: { status: 413, flag: "DPE", origin: "downstream", title: "Request body too large" },
  ERR_TARGET_TOO_LONG: { status: 414, flag: "DPE", origin: "downstream", title: "Request target too long" },
  ERR_HEADERS_TOO_LARGE: { status: 431, flag: "DPE", origin: "downstream", title: "Request headers too large" },
  ERR_EXPECTATION_FAILED: { status: 417, flag: "DPE", origin: "downstream", title: "Expectation cannot be met" },
  ERR_METHOD_NOT_ALLOWED: { status: 405, flag: "DPE", origin: "downstream", title: "Method not allowed" },
  ERR_METHOD_NOT_IMPLEMENTED: {
    status: 501,
    flag: "DPE",
    origin: "downstream",
    title: "Method or coding not implemented",
  },
  ERR_VERSION_NOT_SUPPORTED: { status: 505, flag: "DPE", origin: "downstream", title: "HTTP version not supported" },
  ERR_DOWNSTREAM_CLOSED: { status: 499, flag: "DC", origin: "downstream", title: "The caller went away" },
  ERR_PEER_UNIDENTIFIED: { status: 401, flag: "AZ", origin: "downstream", title: "Peer has no usable identity" },
  ERR_PEER_FORBIDDEN: { status: 403, flag: "AZ", origin: "downstream", title: "RBAC: access denied" },
  ERR_ROUTE_NOT_FOUND: { status: 404, flag: "NR", origin: "mesh", title: "No route" },
  ERR_SERVICE_UNKNOWN: { status: 404, flag: "NR", origin: "mesh", title: "Unknown service" },
  ERR_BACKEND_INVALID: { status: 500, flag: "NC", origin: "mesh", title: "Route has no valid backend" },
  ERR_RATE_LIMITED: { status: 429, flag: "RL", origin: "mesh", title: "Rate limited" },
  ERR_OVERLOADED: { status: 503, flag: "UO", origin: "mesh", title: "Limit reached" },
  ERR_NO_ENDPOINT: { status: 503, flag: "UH", origin: "mesh", title: "No healthy upstream" },
  ERR_CIRCUIT_OPEN: { status: 503, flag: "BO", origin: "mesh", title: "Circuit open" },
  ERR_LOOP_DETECTED: { status: 508, flag: "LOOP", origin: "mesh", title: "Loop detected" },
  ERR_NOT_READY: { status: 503, flag: "OM", origin: "mesh", title: "The mesh is not ready" },
  ERR_CONNECT_FAILED: { status: 503, flag: "UF", origin: "upstream", title: "Upstream connection failed" },
  ERR_CONNECT_TIMEOUT: { status: 503, flag: "UF", origin: "upstream", title: "Upstream connection timed out" },
  ERR_UPSTREAM_IDENTITY: { status: 503, flag: "UF", origin: "upstream", title: "Upstream is not who was dialled" },
  ERR_UPSTREAM_RESET: { status: 503, flag: "UC", origin: "upstream", title: "Upstream closed the connection" },
  ERR_UPSTREAM_PROTOCOL: { status: 502, flag: "UPE", origin: "upstream", title: "Upstream broke the protocol" },
  ERR_DEADLINE_EXCEEDED: { status: 504, flag: "UT", origin: "upstream", title: "Upstream request timeout" },
  ERR_DEADLINE_PAST: { status: 504, flag: "DX", origin: "downstream", title: "Deadline had passed on arrival" },
  ERR_STREAM_IDLE: { status: 504, flag: "SI", origin: "upstream", title: "Stream idle for too long" },
  ERR_RESOURCE_INVALID: { status: 422, flag: "", origin: "control", title: "Invalid resource" },
  ERR_RESOURCE_NOT_FOUND: { status: 404, flag: "", origin: "control", title: "No such resource" },
  ERR_VERSION_CONFLICT: { status: 409, flag: "", origin: "control", title: "Version conflict" },
  ERR_STORE_UNAVAILABLE: { status: 503, flag: "", origin: "control", title: "Store unavailable" },
  ERR_STORE_CORRUPT: { status: 502, flag: "", origin: "control", title: "Store holds unusable data" },
  ERR_TOKEN_REFUSED: { status: 401, flag: "", origin: "control", title: "Token refused" },
  ERR_CSR_DENIED: { status: 403, flag: "", origin: "control", title: "Certificate request denied" },
  ERR_OPTION_INVALID: { status: 500, flag: "", origin: "mesh", title: "Invalid option" },
  ERR_CAPABILITY_MISSING: { status: 500, flag: "", origin: "mesh", title: "This runtime cannot do that" },
  ERR_INTERNAL: { status: 500, flag: "", origin: "mesh", title: "Internal error" },
} as const satisfies Record<string, ErrorMeaning>;

/** Every way the mesh can refuse. A closed union: `switch` over it is exhaustive. */
export type MeshErrorCode = keyof typeof meanings;

/** What each code means: HTTP status, access-log flag, blame, problem title. The only such table. */
export const errorTable: Readonly<Record<MeshErrorCode, ErrorMeaning>> = meanings;

/** Facts that a thrower knows and a reply or a policy can use. */
export interface MeshErrorFacts {
  /** How much had been sent upstream. @default "nothing" */
  readonly sent?: Sent;
  /** Overrides the table's flag where one code has two causes (`BQ` for a quorum opening). */
  readonly flag?: ResponseFlag;
  /** What the reader of the reply should do next; becomes `advice` in the problem body. */
  readonly advice?: string;
  /** Sent as `retry-after`, rounded up to seconds. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/**
 * An error with a stable code. `message` is a sentence for a human and may name addresses; whether a caller may read it
 * is `rescue`'s decision, not the thrower's.
 */
export class MeshError extends Error {
  override readonly name = "MeshError";
  readonly code: MeshErrorCode;
  readonly sent: Sent;
  readonly flag: ResponseFlag;
  readonly advice: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: MeshErrorCode, message: string, facts: MeshErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.sent = facts.sent ?? "nothing";
    this.flag = facts.flag ?? meanings[code].flag;
    this.advice = facts.advice;
    this.retryAfterMs = facts.retryAfterMs;
  }

  get status(): number {
    return meanings[this.code].status;
  }

  get origin(): ErrorOrigin {
    return meanings[this.code].origin;
  }

  get title(): string {
    return meanings[this.code].title;
  }

  /** The error as a MeshError; what is not one yet becomes `ERR_INTERNAL` with its cause kept. */
  static from(reason: unknown): MeshError {
    if (reason instanceof MeshError) return reason;
    const message = reason instanceof Error ? reason.message : String(reason);
    return new MeshError("ERR_INTERNAL", message, { cause: reason });
  }
}

/** The chain of causes as one line, outermost first: it reads as the request's journey. */
export function describeError(reason: unknown): string {
  const parts: string[] = [];
  // Eight is deeper than any chain we build; the bound is for cyclic causes made elsewhere.
  for (let error = reason, depth = 0; error !== undefined && error !== null && depth < 8; depth++) {
    parts.push(error instanceof Error ? error.message : String(error));
    error = error instanceof Error ? error.cause : undefined;
  }
  return parts.join(": ");
}
