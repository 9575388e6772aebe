/**
 * Every flag, declared once. `--x-y` on the command line, `FETCHMESH_X_Y` in the environment and `x-y:` in the file of
 * `--config` are the same setting, in that order of precedence.
 */
import * as kind from "./parse.ts";
import type { Address, TcpAddress, Upstream, ValueKind } from "./parse.ts";

/** What a verb gets, by flag name. Lists are what a repeatable flag collects. */
export interface FlagValues {
  "access-log": "off" | "errors" | "all";
  admin: Address;
  advertise: TcpAddress;
  app: Address;
  ca: string;
  "cert-ttl": number;
  config: string;
  control: string;
  dir: string;
  "drain-timeout": number;
  "dry-run": boolean;
  "expect-version": number;
  file: string;
  for: number;
  health: TcpAddress;
  inbound: TcpAddress;
  "inbound-h2": TcpAddress;
  instance: string;
  limit: number;
  listen: TcpAddress;
  mesh: string;
  message: string;
  kind: "join" | "reader";
  mtls: "strict" | "permissive" | "off";
  namespace: string;
  "no-color": boolean;
  once: boolean;
  "operator-token-file": string;
  outbound: Address;
  output: "json" | "text";
  port: number;
  "require-signed-config": boolean;
  runtime: "bun" | "deno" | "node";
  service: string;
  "state-dir": string;
  store: string;
  "svid-dir": string;
  token: string;
  "token-file": string;
  "trust-domain": string;
  ttl: number;
  upstream: readonly Upstream[];
  version: number;
  wait: number;
  zone: string;
}

export type FlagName = keyof FlagValues;

type Single<T> = T extends readonly (infer One)[] ? One : T;

export interface Flag<T> {
  readonly kind: ValueKind<Single<T>>;
  /** What stands for the value in the help; none for a switch. */
  readonly placeholder?: string;
  readonly short?: string;
  readonly help: string;
  /** As typed; parsed like everything else. A verb may have another one. */
  readonly fallback?: string;
  readonly isRepeatable?: true;
  /** Never shown in messages. */
  readonly isSecret?: true;
}

export const flags: { readonly [Name in FlagName]: Flag<FlagValues[Name]> } = {
  "access-log": {
    kind: kind.oneOf("off", "errors", "all"),
    placeholder: "WHICH",
    help: "off, errors (400 and above, and whatever has a flag) or all",
    fallback: "errors",
  },
  admin: {
    kind: kind.address,
    placeholder: "HOST:PORT",
    help: "the admin API of a sidecar",
    fallback: "127.0.0.1:15000",
  },
  advertise: {
    kind: kind.targetAddress,
    placeholder: "HOST:PORT",
    help: "where other sidecars reach the inbound port",
  },
  app: { kind: kind.targetOrSocket, placeholder: "HOST:PORT", help: "where the application listens" },
  ca: {
    kind: kind.text,
    placeholder: "FILE",
    help: "the mesh's root certificate (PEM) that the control plane must prove",
  },
  "cert-ttl": {
    kind: kind.positiveDuration,
    placeholder: "DURATION",
    help: "lifetime of the certificates issued",
    fallback: "24h",
  },
  config: { kind: kind.text, placeholder: "FILE", help: "YAML file with flags as keys" },
  control: { kind: kind.controlUrl, placeholder: "URL", help: "the control plane" },
  dir: {
    kind: kind.text,
    placeholder: "DIR",
    help: "the context: where the mesh is and who I am there",
    fallback: ".fetchmesh",
  },
  "drain-timeout": {
    kind: kind.duration,
    placeholder: "DURATION",
    help: "how long requests in flight may take after SIGTERM",
    fallback: "10s",
  },
  "dry-run": { kind: kind.yesNo, help: "check everything, publish nothing" },
  "expect-version": { kind: kind.wholeNumber, placeholder: "N", help: "refuse if the current version is another" },
  file: { kind: kind.text, placeholder: "FILE|-", short: "f", help: "documents, YAML or JSON; - reads stdin" },
  for: { kind: kind.positiveDuration, placeholder: "DURATION", help: "how long it is forced", fallback: "5m" },
  health: { kind: kind.tcpAddress, placeholder: "HOST:PORT", help: "/livez and /readyz", fallback: "0.0.0.0:15021" },
  inbound: {
    kind: kind.tcpAddress,
    placeholder: "HOST:PORT",
    help: "mTLS from other sidecars",
    fallback: "0.0.0.0:15006",
  },
  "inbound-h2": {
    kind: kind.tcpAddress,
    placeholder: "HOST:PORT",
    help: "the same over HTTP/2",
    fallback: "0.0.0.0:15008",
  },
  instance: {
    kind: kind.label,
    placeholder: "NAME",
    help: "name of this instance (default: the service and a random suffix)",
  },
  limit: { kind: kind.wholeNumber, placeholder: "N", help: "at most so many", fallback: "20" },
  listen: {
    kind: kind.tcpAddress,
    placeholder: "HOST:PORT",
    help: "where the control plane listens",
    fallback: "127.0.0.1:15010",
  },
  mesh: { kind: kind.label, placeholder: "NAME", help: "the mesh, where several share a store", fallback: "default" },
  message: { kind: kind.text, placeholder: "TEXT", short: "m", help: "why, for the history" },
  kind: {
    kind: kind.oneOf("join", "reader"),
    placeholder: "KIND",
    help: "join (one sidecar, once) or reader (config, for an edge worker)",
    fallback: "join",
  },
  mtls: {
    kind: kind.oneOf("strict", "permissive", "off"),
    placeholder: "MODE",
    help: "strict, permissive or off",
    fallback: "strict",
  },
  namespace: {
    kind: kind.label,
    placeholder: "NAME",
    short: "n",
    help: "namespace of the service or document",
    fallback: "default",
  },
  "no-color": { kind: kind.yesNo, help: "no colours (also: NO_COLOR)" },
  once: { kind: kind.yesNo, help: "run the checks, then stop" },
  "operator-token-file": { kind: kind.text, placeholder: "FILE", help: "the operator's token" },
  outbound: {
    kind: kind.address,
    placeholder: "HOST:PORT",
    help: "where the application sends its calls",
    fallback: "127.0.0.1:15001",
  },
  output: {
    kind: kind.oneOf("json", "text"),
    placeholder: "FORMAT",
    short: "o",
    help: "json or text",
    fallback: "text",
  },
  port: { kind: kind.port, placeholder: "PORT", help: "the port the command will listen on; it gets it as PORT" },
  "require-signed-config": { kind: kind.yesNo, help: "take only config that the control plane signed" },
  runtime: {
    kind: kind.oneOf("bun", "deno", "node"),
    placeholder: "NAME",
    help: "bun, deno or node for every sidecar (default: a mix)",
  },
  service: { kind: kind.label, placeholder: "NAME", help: "the service" },
  "state-dir": {
    kind: kind.text,
    placeholder: "DIR",
    help: "keeps the certificate and the last config that worked, for a restart",
  },
  store: { kind: kind.storeUrl, placeholder: "URL", help: "memory, file:PATH or redis://HOST:PORT" },
  "svid-dir": {
    kind: kind.text,
    placeholder: "DIR",
    help: "svid.pem, svid_key.pem and bundle.pem of another CA, watched",
  },
  token: { kind: kind.text, placeholder: "TOKEN", help: "join token (see: fetchmesh token create)", isSecret: true },
  "token-file": { kind: kind.text, placeholder: "FILE", help: "the same, in a file" },
  "trust-domain": {
    kind: kind.trustDomain,
    placeholder: "NAME",
    help: "first part of every SPIFFE ID",
    fallback: "mesh.local",
  },
  ttl: { kind: kind.positiveDuration, placeholder: "DURATION", help: "lifetime of the token", fallback: "10m" },
  upstream: {
    kind: kind.upstream,
    placeholder: "NAME=PORT",
    help: "a local port for one service; again for more",
    isRepeatable: true,
  },
  version: { kind: kind.wholeNumber, placeholder: "N", help: "as of this version" },
  wait: { kind: kind.duration, placeholder: "DURATION", help: "wait until every sidecar has applied it" },
  zone: { kind: kind.label, placeholder: "NAME", help: "where this instance runs" },
};

/** Flags that every verb has. */
export const commonFlags: readonly FlagName[] = [
  "dir",
  "control",
  "ca",
  "operator-token-file",
  "config",
  "output",
  "no-color",
];

export function environmentName(flag: string): string {
  return `FETCHMESH_${flag.toUpperCase().replaceAll("-", "_")}`;
}

export function isFlagName(name: string): name is FlagName {
  return Object.hasOwn(flags, name);
}
