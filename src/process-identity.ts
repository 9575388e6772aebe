/** What an application needs to be a member of the mesh by itself, without a sidecar: an identity and sockets to prove it on. */
import { systemClock, type Clock } from "./clock.ts";
import { MeshError } from "./errors.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import type { Events } from "./observe/events.ts";
import { createLog } from "./observe/log.ts";
import { systemRandom, type Random } from "./random.ts";
import type { SocketTransport } from "./runtime/contract.ts";
import { currentRuntime } from "./runtime/current.ts";
import { acquireWorkload } from "./sidecar-identity.ts";

export interface IdentityOptions {
  /** Who this process is to be. */
  readonly service: string;
  /** @default "default" */
  readonly namespace?: string;
  /** Control plane, `https://host:port`. @default the one in the token */
  readonly control?: string;
  /** One-time join token: `fetchmesh token create --service NAME`. */
  readonly token?: string;
  /** Directory with `svid.pem`, `svid_key.pem`, `bundle.pem` as spiffe-helper writes them; replaces control plane and token. */
  readonly svidDir?: string;
  /** Directory in which the identity survives a restart, as a token is good for one join. */
  readonly stateDir?: string;
  /** Ends the waiting for a control plane that cannot be reached. */
  readonly signal?: AbortSignal;
  /** @default nodeTransport() */
  readonly transport?: SocketTransport;
  /** Receives JSON log lines. @default stderr */
  readonly log?: (line: string) => void;
  readonly events?: Events;
  readonly clock?: Clock;
  readonly random?: Random;
}

/**
 * Acquires a certificate and keeps it fresh until closed. A control plane that cannot be reached is asked until it can.
 *
 * @throws {MeshError} ERR_OPTION_INVALID, ERR_TOKEN_REFUSED, ERR_CSR_DENIED, ERR_UPSTREAM_IDENTITY
 */
export async function acquireIdentity(options: IdentityOptions): Promise<WorkloadCertificate> {
  const { service, namespace = "default", control = null, token = null, svidDir = null, stateDir = null } = options;
  const { clock = systemClock, random = systemRandom, events = {} } = options;
  if (token === null && svidDir === null && stateDir === null) {
    throw new MeshError(
      "ERR_OPTION_INVALID",
      `There is nothing to become ${service} with: no join token, SVID directory or state directory is given`,
      {
        advice: "Pass token (fetchmesh token create --service NAME), or svidDir",
      },
    );
  }
  const { transport, files, process } = currentRuntime();
  const write = options.log ?? ((text: string) => process.writeError(text));
  const { workload } = await acquireWorkload(
    { service, namespace, trustDomain: "mesh.local", mtls: "strict", svidDir, control, token, stateDir, clock, random },
    {
      transport: options.transport ?? transport,
      files,
      events,
      log: createLog({ level: "warn", clock, write }).with({ service }),
      signal: options.signal ?? new AbortController().signal,
    },
  );
  // Null is for `mtls: "off"` alone.
  return workload as WorkloadCertificate;
}

/** Sockets of the runtime this runs on, Bun, Deno or Node: what `createSidecar` and `createMesh` take by default. */
export function nodeTransport(): SocketTransport {
  return currentRuntime().transport;
}
