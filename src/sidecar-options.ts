/** What a sidecar is told, and what that resolves to. */
import { systemClock, type Clock } from "./clock.ts";
import type { Store } from "./control/store.ts";
import { MeshError } from "./errors.ts";
import { randomHex, systemRandom, type Random } from "./random.ts";
import type { SocketTransport } from "./runtime/contract.ts";

/** `strict` takes only mTLS peers; `permissive` also plaintext, unidentified; `off` is plaintext on both sides. */
export type MtlsMode = "strict" | "permissive" | "off";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Where a local listener of the sidecar is: TCP, or a Unix socket where the runtime has them. */
export type ListenAddress = HostPort | { readonly path: string };

export interface SidecarOptions {
  /** The service this sidecar stands beside. */
  readonly service: string;
  /** @default "default" */
  readonly namespace?: string;
  /** Where the application listens. */
  readonly app: HostPort | { readonly path: string };
  /**
   * Config, registry and breaker state: `redis://…`, `file:PATH`, or a store made by the caller. Absent: taken from the
   * control plane.
   */
  readonly store?: string | Store;
  /** Control plane, `https://host:port`. Needed unless `svidDir` and `store` are given. */
  readonly control?: string;
  /** One-time join token. Not needed while `stateDir` holds a certificate that is still valid. */
  readonly token?: string;
  /** Directory with `svid.pem`, `svid_key.pem`, `bundle.pem` as spiffe-helper writes them; replaces the mesh's own CA. */
  readonly svidDir?: string;
  /** Name of the mesh in a shared store. @default "default" */
  readonly mesh?: string;
  /** Only needed with `mtls: "off"`; otherwise the certificate says it. @default "mesh.local" */
  readonly trustDomain?: string;
  /** @default 127.0.0.1:15001 */
  readonly outbound?: ListenAddress;
  /** @default 0.0.0.0:15006 */
  readonly inbound?: HostPort;
  /** Reserved for the HTTP/2 hop; nothing listens there yet. @default none */
  readonly inboundH2?: HostPort;
  /** @default 127.0.0.1:15000 */
  readonly admin?: ListenAddress;
  /** @default 0.0.0.0:15021 */
  readonly health?: HostPort;
  /** Local ports that each lead to one service. */
  readonly upstreams?: readonly { readonly service: string; readonly listen: HostPort }[];
  /** @default "strict" */
  readonly mtls?: MtlsMode;
  readonly zone?: string;
  /** Address others are told to call. @default the inbound listener's, 127.0.0.1 if it listens on every interface */
  readonly advertise?: HostPort;
  /** @default `<service>-<4 hex digits>` */
  readonly instance?: string;
  /**
   * Directory (0700) for what a restart should find: the certificate with its key, so that no new token is needed while it is
   * valid, and the last config that worked, so that a start survives an absent store.
   */
  readonly stateDir?: string;
  /** Refuse config that the control plane did not sign. @default false: whoever may write to the store may publish */
  readonly requireSignedConfig?: boolean;
  /** How long in-flight requests may take after SIGTERM. @default 10000 */
  readonly drainTimeoutMs?: number;
  /** @default "errors" */
  readonly accessLog?: "off" | "errors" | "all";
  /** Largest request body accepted from the application or a peer. @default Infinity: bodies stream */
  readonly maxBodyBytes?: number;
  /** Receives JSON log lines. @default stderr */
  readonly log?: (line: string) => void;
  readonly transport?: SocketTransport;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface SidecarConfig {
  readonly service: string;
  readonly namespace: string;
  readonly instance: string;
  readonly app: HostPort | { readonly path: string };
  readonly store: string | Store | null;
  readonly control: string | null;
  readonly token: string | null;
  readonly svidDir: string | null;
  readonly mesh: string;
  readonly trustDomain: string;
  readonly outbound: ListenAddress;
  readonly inbound: HostPort;
  readonly admin: ListenAddress;
  readonly health: HostPort;
  readonly upstreams: readonly { readonly service: string; readonly listen: HostPort }[];
  readonly mtls: MtlsMode;
  readonly zone: string | null;
  readonly advertise: HostPort | null;
  readonly stateDir: string | null;
  readonly requireSignedConfig: boolean;
  readonly drainTimeoutMs: number;
  readonly accessLog: "off" | "errors" | "all";
  readonly maxBodyBytes: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** Who refuses, as replies and logs name it. */
export function sidecarName({ service, instance }: Pick<SidecarConfig, "service" | "instance">): string {
  return `sidecar ${service}/${instance}`;
}

const label = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** @throws {MeshError} ERR_OPTION_INVALID naming the option, what it must be and what it is */
export function resolveSidecarOptions(options: SidecarOptions): SidecarConfig {
  const namespace = options.namespace ?? "default";
  requireLabel("service", options.service);
  requireLabel("namespace", namespace);
  if (options.control === undefined && options.store === undefined) {
    throw new MeshError(
      "ERR_OPTION_INVALID",
      "A sidecar needs a source of config: neither a control plane nor a store is given",
      {
        advice: "Give --control https://HOST:PORT with --token, or --store redis://HOST:PORT with --svid-dir DIR",
      },
    );
  }
  const mtls = options.mtls ?? "strict";
  if (
    mtls !== "off" &&
    options.svidDir === undefined &&
    options.stateDir === undefined &&
    (options.control === undefined || options.token === undefined)
  ) {
    throw new MeshError(
      "ERR_OPTION_INVALID",
      `A sidecar with mTLS "${mtls}" needs an identity: neither a join token nor an SVID directory is given`,
      {
        advice: "Give --control with --token (fetchmesh token create --service NAME), or --svid-dir DIR",
      },
    );
  }
  return Object.freeze({
    service: options.service,
    namespace,
    instance: options.instance ?? `${options.service}-${randomHex(2)}`,
    app: options.app,
    store: options.store ?? null,
    control: options.control ?? null,
    token: options.token ?? null,
    svidDir: options.svidDir ?? null,
    mesh: options.mesh ?? "default",
    trustDomain: options.trustDomain ?? "mesh.local",
    outbound: options.outbound ?? { host: "127.0.0.1", port: 15_001 },
    inbound: options.inbound ?? { host: "0.0.0.0", port: 15_006 },
    admin: options.admin ?? { host: "127.0.0.1", port: 15_000 },
    health: options.health ?? { host: "0.0.0.0", port: 15_021 },
    upstreams: options.upstreams ?? [],
    mtls,
    zone: options.zone ?? null,
    advertise: options.advertise ?? null,
    stateDir: options.stateDir ?? null,
    requireSignedConfig: options.requireSignedConfig ?? false,
    drainTimeoutMs: options.drainTimeoutMs ?? 10_000,
    accessLog: options.accessLog ?? "errors",
    maxBodyBytes: options.maxBodyBytes ?? Infinity,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  });
}

function requireLabel(option: string, value: string): void {
  if (label.test(value)) return;
  throw new MeshError(
    "ERR_OPTION_INVALID",
    `"${option}" must be a DNS label (a-z, 0-9, "-", at most 63): current value is "${value}"`,
  );
}
