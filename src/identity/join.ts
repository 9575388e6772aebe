/**
 * The workload's side of a join. The token names the root by its fingerprint, so the control plane is proved before the token
 * is shown to anyone:
 *
 * 1. `GET /v1/root` over TLS that verifies nothing. Its reply is a public certificate, worthless to an impostor, and counts
 *    only if its SHA-256 is the one in the token.
 * 2. `POST /v1/join` over TLS that trusts that root alone and insists on the control plane's own SPIFFE ID.
 */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { ConnectTls, TlsIdentity, TlsTrust } from "../runtime/contract.ts";
import type { AdmissionReply } from "./admission.ts";
import { controlTls } from "./control-tls.ts";
import { rootFingerprint } from "./fingerprint.ts";
import { decodePem, splitCertificates } from "./pem.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { readJoinToken } from "./token.ts";
import { verifySvid } from "./verify-svid.ts";

/** One request to the control plane on a connection of its own. */
export interface ControlCall {
  readonly method: "GET" | "POST";
  readonly url: string;
  /** JSON text; null without a body. */
  readonly body: string | null;
  /** Null: verify nothing. Only ever for the public root. */
  readonly tls: ConnectTls | null;
}

export interface ControlReply {
  readonly status: number;
  readonly body: string;
}

/** Injected by whoever has sockets: never follows redirects, bounds the reply, ends in time. */
export type CallControl = (call: ControlCall) => Promise<ControlReply>;

export interface JoinOptions {
  readonly token: string;
  /** `https://host:port`; null takes the one in the token. */
  readonly control: string | null;
  /** Who the workload is configured to be. */
  readonly spiffeId: SpiffeId;
  readonly csrPem: string;
  readonly call: CallControl;
  readonly clock: Clock;
}

/** What a join or a renewal gives, checked. */
export interface Admission {
  readonly chainPem: string;
  readonly rootsPem: readonly string[];
  /** Where to renew. */
  readonly control: string;
  /** Public JWK that signs the mesh's config; null if it is not signed. Unchecked: whoever imports it checks it. */
  readonly configKey: unknown;
}

/**
 * Exchanges a token for a certificate over `csrPem`.
 *
 * @throws {MeshError} ERR_TOKEN_REFUSED, ERR_CSR_DENIED, ERR_UPSTREAM_IDENTITY, or what `call` throws
 */
export async function joinMesh(options: JoinOptions): Promise<Admission> {
  const { token, spiffeId, csrPem, call, clock } = options;
  const hint = readJoinToken(token);
  if (hint.spiffeId.text !== spiffeId.text) {
    throw new MeshError("ERR_TOKEN_REFUSED", `The join token is for ${hint.spiffeId.text}, not for ${spiffeId.text}`, {
      advice: `Make one for it: fetchmesh token create --service ${spiffeId.service ?? "NAME"} --namespace ${spiffeId.namespace ?? "NAMESPACE"}`,
    });
  }
  const control = options.control ?? hint.control;
  if (control === null)
    throw new MeshError("ERR_OPTION_INVALID", "The join token does not say where the control plane is", {
      advice: "Pass --control https://HOST:PORT.",
    });
  const root = await fetchPinnedRoot(control, hint.rootFingerprint, call);
  const tls = controlTls({ rootsPem: [root] }, spiffeId.trustDomain, clock, null);
  return await admit(control, "/v1/join", { token, csr: csrPem }, tls, spiffeId, call, clock);
}

/** Renews with the certificate at hand. @throws {MeshError} as `joinMesh` */
export async function renewCertificate(
  options: Omit<JoinOptions, "token" | "control"> & {
    readonly control: string;
    readonly identity: TlsIdentity;
    readonly trust: TlsTrust;
  },
): Promise<Admission> {
  const { control, spiffeId, csrPem, call, clock, identity, trust } = options;
  const tls = controlTls(trust, spiffeId.trustDomain, clock, identity);
  return await admit(control, "/v1/renew", { csr: csrPem }, tls, spiffeId, call, clock);
}

async function fetchPinnedRoot(control: string, expected: string, call: CallControl): Promise<string> {
  const reply = await call({ method: "GET", url: address(control, "/v1/root"), body: null, tls: null });
  if (reply.status !== 200) throw refusedBy(control, reply);
  // Several during a change of root; the token pins one of them.
  const root = splitCertificates(reply.body).find((pem) => rootFingerprint(pem) === expected);
  if (root !== undefined) return root;
  throw new MeshError(
    "ERR_UPSTREAM_IDENTITY",
    `The control plane at ${control} does not have the root certificate that the join token names (${expected})`,
    {
      advice: "The token is of another mesh, or something else answers at that address. The token was not sent.",
    },
  );
}

async function admit(
  control: string,
  path: string,
  body: object,
  tls: ConnectTls,
  id: SpiffeId,
  call: CallControl,
  clock: Clock,
): Promise<Admission> {
  const reply = await call({ method: "POST", url: address(control, path), body: JSON.stringify(body), tls });
  if (reply.status !== 200) throw refusedBy(control, reply);
  const { chainPem, rootsPem, configKey } = parseReply(control, reply.body);
  const chain = decodePem(chainPem, "CERTIFICATE");
  const roots = rootsPem.flatMap((pem) => decodePem(pem, "CERTIFICATE"));
  const proved = await verifySvid({ chain, roots, nowMs: clock.epochMs() });
  if (typeof proved !== "string" && proved.text === id.text) return { chainPem, rootsPem, control, configKey };
  const problem = typeof proved === "string" ? proved : `it is for ${proved.text}`;
  throw new MeshError(
    "ERR_UPSTREAM_IDENTITY",
    `The control plane at ${control} sent a certificate that ${id.text} cannot use: ${problem}`,
    {
      advice: "If it says not valid before or expired, compare the clocks of the two machines.",
    },
  );
}

function parseReply(
  control: string,
  body: string,
): Pick<AdmissionReply, "chainPem" | "rootsPem"> & Pick<Admission, "configKey"> {
  try {
    const { chainPem, rootsPem, configKey = null } = JSON.parse(body) as Record<string, unknown>;
    const isWhole =
      typeof chainPem === "string" &&
      Array.isArray(rootsPem) &&
      rootsPem.length > 0 &&
      rootsPem.every((pem) => typeof pem === "string");
    if (isWhole) return { chainPem, rootsPem, configKey };
  } catch {
    // Falls through: not JSON is as unusable as JSON of another shape.
  }
  throw new MeshError("ERR_UPSTREAM_PROTOCOL", `The control plane at ${control} sent a reply that is no certificate`);
}

function address(control: string, path: string): string {
  if (!/^https:\/\/[^/?#@]+\/?$/.test(control)) {
    throw new MeshError("ERR_OPTION_INVALID", `"${control}" is not the address of a control plane`, {
      advice: "Write it as https://HOST:PORT; it speaks nothing but TLS.",
    });
  }
  return control.replace(/\/$/, "") + path;
}

/** A refusal as the control plane worded it (RFC 9457), so that the reader learns what to do. */
function refusedBy(control: string, { status, body }: ControlReply): MeshError {
  let detail = "";
  let advice: string | undefined;
  try {
    const problem = JSON.parse(body) as Record<string, unknown>;
    const text = problem["detail"] ?? problem["title"];
    if (typeof text === "string") detail = `: ${text.slice(0, 500)}`;
    if (typeof problem["advice"] === "string") advice = problem["advice"].slice(0, 500);
  } catch {
    // No problem document: the status has to do.
  }
  const code = status === 401 ? "ERR_TOKEN_REFUSED" : status === 403 ? "ERR_CSR_DENIED" : "ERR_UPSTREAM_PROTOCOL";
  return new MeshError(
    code,
    `The control plane at ${control} answered ${status}${detail}`,
    advice === undefined ? {} : { advice },
  );
}
