/** Who this sidecar is: a certificate from the mesh's CA, from a directory somebody else fills, or none at all. */
import { sleep } from "./clock.ts";
import { importConfigPublicKey, type PublicJwk } from "./control/signature.ts";
import { MeshError, describeError } from "./errors.ts";
import { IdentityKeeper } from "./identity/kept.ts";
import { joinMesh, renewCertificate, type Admission, type CallControl } from "./identity/join.ts";
import { meshId } from "./identity/spiffe-id.ts";
import { watchedWorkload, type SvidFiles } from "./identity/svid-dir.ts";
import { readJoinToken } from "./identity/token.ts";
import { issuedWorkload, type WorkloadCertificate, type WorkloadState } from "./identity/workload.ts";
import type { Events } from "./observe/events.ts";
import type { Log } from "./observe/log.ts";
import type { SocketTransport } from "./runtime/contract.ts";
import type { Files } from "./runtime/files.ts";
import type { SidecarConfig } from "./sidecar-options.ts";
import { wireFetch } from "./transport/wire-fetch.ts";

export interface IdentityDeps {
  readonly transport: SocketTransport;
  readonly files: Files;
  readonly events: Events;
  readonly log: Log;
  /** Ends the waiting when the sidecar is stopped before it had a certificate. */
  readonly signal: AbortSignal;
}

export type IdentityConfig = Pick<
  SidecarConfig,
  "service" | "namespace" | "trustDomain" | "mtls" | "svidDir" | "control" | "token" | "stateDir" | "clock" | "random"
>;

export interface AcquiredIdentity {
  /** Null with `mtls: "off"`. */
  readonly workload: WorkloadCertificate | null;
  /** What the mesh's config is signed with; null where no control plane told. Asked per use: a renewal may bring a new one. */
  readonly configKey: () => Promise<CryptoKey | null>;
}

/** The longest a joining sidecar waits between two tries: a control plane that comes back is noticed within seconds. */
const longestJoinWaitMs = 5_000;
/** A certificate reply is a few kilobytes; more is not from our control plane. */
const maxReplyBytes = 262_144;

/**
 * Acquires the certificate. A control plane that cannot be reached is asked again until it can; one that refuses is believed.
 *
 * @throws {MeshError} ERR_TOKEN_REFUSED, ERR_CSR_DENIED, ERR_UPSTREAM_IDENTITY, ERR_OPTION_INVALID
 */
export async function acquireWorkload(config: IdentityConfig, deps: IdentityDeps): Promise<AcquiredIdentity> {
  const withoutKey = { configKey: () => Promise.resolve(null) };
  if (config.mtls === "off") return { workload: null, ...withoutKey };
  if (config.svidDir !== null) return { workload: await followDirectory(config, config.svidDir, deps), ...withoutKey };
  return joinControl(config, deps);
}

async function followDirectory(
  config: IdentityConfig,
  directory: string,
  deps: IdentityDeps,
): Promise<WorkloadCertificate> {
  const files: SvidFiles = {
    read: (name) => deps.files.readText(`${directory}/${name}`),
    watch: (changed) => deps.files.watch(directory, changed),
  };
  const workload = await watchedWorkload({ files, clock: config.clock, events: deps.events });
  const { spiffeId } = workload.current;
  const expected = meshId(spiffeId.trustDomain, config.namespace, config.service);
  if (spiffeId.text === expected.text) return workload;
  workload.close();
  throw new MeshError(
    "ERR_OPTION_INVALID",
    `The certificate in ${directory} is for ${spiffeId.text}, not for ${expected.text}`,
    {
      advice:
        "Start the sidecar with the --service and --namespace of its certificate: peers check one against the other",
    },
  );
}

async function joinControl(config: IdentityConfig, deps: IdentityDeps): Promise<AcquiredIdentity> {
  const { clock, random, token } = config;
  const keeper = config.stateDir === null ? null : new IdentityKeeper(deps.files, `${config.stateDir}/identity.json`);
  const trustDomain = token === null ? config.trustDomain : readJoinToken(token).spiffeId.trustDomain;
  const spiffeId = meshId(trustDomain, config.namespace, config.service);
  const kept = (await keeper?.load(spiffeId, clock)) ?? null;
  const call = controlCall(deps.transport);
  let control = config.control ?? kept?.control ?? null;
  let configKey: unknown = kept?.configKey ?? null;
  let imported = importKey(configKey);

  const request = async (csrPem: string, current: WorkloadState | null): Promise<Admission> => {
    if (current === null && token === null) throw withoutToken(config);
    const admission =
      current === null || control === null
        ? await joinMesh({ token: token as string, control, spiffeId, csrPem, call, clock })
        : await renewCertificate({
            control,
            spiffeId,
            csrPem,
            call,
            clock,
            identity: current.identity,
            trust: current.trust,
          });
    control = admission.control;
    configKey = admission.configKey;
    await (imported = importKey(configKey));
    return admission;
  };
  const options = {
    spiffeId,
    clock,
    random,
    events: deps.events,
    request,
    ...(kept !== null && { first: kept.state }),
  };
  const workload = await untilReached(config, deps, () => issuedWorkload(options));
  const keep = async (state: WorkloadState): Promise<void> => {
    try {
      await keeper?.save(state, control, configKey);
    } catch (error) {
      deps.log.warn("the certificate cannot be kept for a restart", { reason: describeError(error) });
    }
  };
  // Before anything depends on it: the token is spent, and a crash right after the start must not need another.
  await keep(workload.current);
  workload.onChange((state) => void keep(state));
  return { workload, configKey: () => imported };
}

function importKey(key: unknown): Promise<CryptoKey | null> {
  return key === null ? Promise.resolve(null) : importConfigPublicKey(key as PublicJwk);
}

function withoutToken({ stateDir }: IdentityConfig): MeshError {
  return new MeshError(
    "ERR_OPTION_INVALID",
    `No join token is given, and ${stateDir} holds no certificate that is still valid`,
    {
      advice: "Give --token (fetchmesh token create --service NAME)",
    },
  );
}

async function untilReached<T>(config: IdentityConfig, deps: IdentityDeps, attempt: () => Promise<T>): Promise<T> {
  const { clock, random, control } = config;
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (reason) {
      const error = MeshError.from(reason);
      if (deps.signal.aborted || !isPassing(error)) throw error;
      const waitMs = Math.min(longestJoinWaitMs, 200 * 2 ** Math.min(tries, 8)) * (0.5 + random() / 2);
      deps.log.warn("the control plane cannot be reached, trying again", {
        control,
        waitMs: Math.round(waitMs),
        reason: describeError(error),
      });
      await sleep(clock, waitMs, deps.signal);
    }
  }
}

/** Worth another try: nobody was there, or somebody was too busy. A refusal is final, and asking again would not change it. */
function isPassing(error: MeshError): boolean {
  switch (error.code) {
    case "ERR_CONNECT_FAILED":
    case "ERR_CONNECT_TIMEOUT":
    case "ERR_UPSTREAM_RESET":
    case "ERR_STORE_UNAVAILABLE":
      return true;
    default:
      return false;
  }
}

/** One call on a connection of its own: each has other ideas of whom to trust. */
function controlCall(transport: SocketTransport): CallControl {
  return async ({ method, url, body, tls }) => {
    const fetchOnce = wireFetch(transport, { tls: tls ?? { trust: { rootsPem: [] }, unverified: true } });
    try {
      const init: RequestInit = {
        method,
        signal: AbortSignal.timeout(10_000),
        ...(body !== null && { body, headers: { "content-type": "application/json" } }),
      };
      const response = await fetchOnce(new Request(url, init));
      return { status: response.status, body: await boundedText(response) };
    } finally {
      fetchOnce.close();
    }
  };
}

async function boundedText(response: Response): Promise<string> {
  let text = "";
  if (response.body === null) return text;
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (text.length > maxReplyBytes)
      throw new MeshError("ERR_UPSTREAM_PROTOCOL", `The control plane's reply is larger than ${maxReplyBytes} bytes`);
  }
  return text;
}
