/** The verbs: what each takes, and the module that does it, loaded only when it is the one. */
import type { FlagName } from "./options.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";

export interface Invocation {
  readonly settings: Settings;
  readonly args: readonly string[];
  /** What follows `--`: the command of `run`. */
  readonly rest: readonly string[];
  readonly output: Output;
}

/** Resolves to the exit code. */
export type RunVerb = (invocation: Invocation) => Promise<number>;

export interface Verb {
  readonly name: string;
  readonly group: "Run a mesh" | "Operate a mesh" | "Try it";
  /** Positional arguments in commander's notation. */
  readonly args: readonly string[];
  readonly summary: string;
  readonly flags: readonly FlagName[];
  readonly required?: readonly FlagName[];
  /** Where this verb's default differs from the flag's; null: none. */
  readonly fallbacks?: Readonly<Partial<Record<FlagName, string | null>>>;
  readonly examples?: readonly string[];
  /** Runs until it is stopped: everything on stderr is a JSON log line, its failure too. */
  readonly isServer?: true;
  readonly load: () => Promise<RunVerb>;
}

const sidecarFlags: readonly FlagName[] = [
  "service",
  "namespace",
  "app",
  "store",
  "token",
  "token-file",
  "svid-dir",
  "outbound",
  "inbound",
  "inbound-h2",
  "admin",
  "health",
  "upstream",
  "mtls",
  "zone",
  "advertise",
  "instance",
  "mesh",
  "trust-domain",
  "state-dir",
  "require-signed-config",
  "access-log",
  "drain-timeout",
];

const freePorts = {
  outbound: "127.0.0.1:0",
  inbound: "127.0.0.1:0",
  "inbound-h2": "127.0.0.1:0",
  admin: "127.0.0.1:0",
  health: "127.0.0.1:0",
} as const;

/** Mesh and trust domain are read from the context or the token unless somebody says otherwise. */
const fromContext = { mesh: null } as const;
const joining = { ...fromContext, "trust-domain": null } as const;

export const verbs: readonly Verb[] = [
  {
    name: "control",
    group: "Run a mesh",
    isServer: true,
    args: [],
    summary: "the control plane: certificates, config, registry",
    flags: ["store", "listen", "mesh", "trust-domain", "cert-ttl"],
    fallbacks: { store: "memory" },
    examples: ["fetchmesh control --store redis://127.0.0.1:6379"],
    load: async () => (await import("./control.ts")).control,
  },
  {
    name: "dev",
    group: "Run a mesh",
    isServer: true,
    args: [],
    summary: "a control plane for this machine: everything in memory, defaults everywhere",
    flags: ["listen", "mesh", "trust-domain", "cert-ttl"],
    load: async () => (await import("./dev.ts")).dev,
  },
  {
    name: "sidecar",
    group: "Run a mesh",
    isServer: true,
    args: [],
    summary: "the proxy beside one instance of a service",
    flags: sidecarFlags,
    required: ["service", "app"],
    fallbacks: joining,
    examples: ["fetchmesh sidecar --service orders --app 127.0.0.1:8080"],
    load: async () => (await import("./sidecar.ts")).sidecar,
  },
  {
    name: "run",
    group: "Run a mesh",
    args: ["[command...]"],
    summary: "start a sidecar, then a command whose plain http:// calls go through it",
    flags: ["port", ...sidecarFlags],
    required: ["service"],
    fallbacks: { ...joining, ...freePorts },
    examples: ["fetchmesh run --service orders --port 8080 -- bun server.ts"],
    load: async () => (await import("./run.ts")).run,
  },
  {
    name: "apply",
    group: "Operate a mesh",
    args: [],
    summary: "publish documents: all of them or none",
    flags: ["file", "message", "expect-version", "dry-run", "wait", "store", "mesh"],
    required: ["file"],
    fallbacks: fromContext,
    examples: ["fetchmesh apply -f mesh.yaml -m 'orders: 2 s timeout' --wait 10s"],
    load: async () => (await import("./apply.ts")).apply,
  },
  {
    name: "validate",
    group: "Operate a mesh",
    args: [],
    summary: "say what is wrong with documents, publish nothing",
    flags: ["file", "store", "mesh"],
    required: ["file"],
    fallbacks: fromContext,
    load: async () => (await import("./validate.ts")).validate,
  },
  {
    name: "delete",
    group: "Operate a mesh",
    args: ["<kind/name>"],
    summary: "remove one document",
    flags: ["namespace", "message", "expect-version", "dry-run", "wait", "store", "mesh"],
    fallbacks: fromContext,
    examples: ["fetchmesh delete HTTPRoute/orders --namespace shop"],
    load: async () => (await import("./delete.ts")).deleteDocument,
  },
  {
    name: "get",
    group: "Operate a mesh",
    args: ["[kind/name]"],
    summary: "the documents in force, or those of an older version",
    flags: ["version", "namespace", "store", "mesh"],
    fallbacks: { ...fromContext, namespace: null },
    examples: ["fetchmesh get HTTPRoute", "fetchmesh get HTTPRoute/orders --version 3"],
    load: async () => (await import("./get.ts")).get,
  },
  {
    name: "diff",
    group: "Operate a mesh",
    args: [],
    summary: "what apply would change; exit code 1 if anything",
    flags: ["file", "store", "mesh"],
    required: ["file"],
    fallbacks: fromContext,
    load: async () => (await import("./diff.ts")).diff,
  },
  {
    name: "history",
    group: "Operate a mesh",
    args: [],
    summary: "the versions published, newest first",
    flags: ["limit", "store", "mesh"],
    fallbacks: fromContext,
    load: async () => (await import("./history.ts")).history,
  },
  {
    name: "rollback",
    group: "Operate a mesh",
    args: ["<version>"],
    summary: "publish an older version again, as a new one",
    flags: ["message", "expect-version", "wait", "store", "mesh"],
    fallbacks: fromContext,
    load: async () => (await import("./rollback.ts")).rollback,
  },
  {
    name: "status",
    group: "Operate a mesh",
    args: [],
    summary: "every sidecar: what it runs, which version it has, until when its certificate holds",
    flags: ["store", "mesh"],
    fallbacks: fromContext,
    load: async () => (await import("./status.ts")).status,
  },
  {
    name: "endpoints",
    group: "Operate a mesh",
    args: ["[service]"],
    summary: "the endpoints one sidecar knows, their load and breakers",
    flags: ["admin", "namespace"],
    fallbacks: { namespace: null },
    examples: ["fetchmesh endpoints orders --admin 127.0.0.1:15000"],
    load: async () => (await import("./endpoints.ts")).endpoints,
  },
  {
    name: "breaker",
    group: "Operate a mesh",
    args: ["<action>", "<service/endpoint>"],
    summary: "force a breaker open or closed everywhere, or reset it",
    flags: ["for", "namespace", "store", "mesh"],
    fallbacks: fromContext,
    examples: ["fetchmesh breaker open orders/127.0.0.1:15006 --for 5m", "fetchmesh breaker reset orders"],
    load: async () => (await import("./breaker.ts")).breaker,
  },
  {
    name: "token",
    group: "Operate a mesh",
    args: ["<action>"],
    summary: "token create: let one sidecar join as a service, once; or an edge worker read",
    flags: ["service", "namespace", "ttl", "kind"],
    required: ["service"],
    examples: [
      "fetchmesh token create --service orders",
      "fetchmesh token create --kind reader --service edge --ttl 24h",
    ],
    load: async () => (await import("./token.ts")).token,
  },
  {
    name: "ca",
    group: "Operate a mesh",
    args: ["<action>"],
    summary: "ca init: make the mesh's own CA; ca export: its root as PEM",
    flags: ["mesh", "trust-domain"],
    load: async () => (await import("./ca.ts")).ca,
  },
  {
    name: "demo",
    group: "Try it",
    args: [],
    summary: "a mesh of three services on this machine, under load, with checks",
    flags: ["once", "store", "runtime"],
    fallbacks: { store: "memory" },
    load: async () => (await import("./demo.ts")).demo,
  },
  {
    name: "version",
    group: "Try it",
    args: [],
    summary: "the version of fetchmesh and of the runtime",
    flags: [],
    load: async () => (await import("./version.ts")).version,
  },
];
