/** Settings of `sidecar` and `run` as the options of a sidecar. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MeshError } from "../errors.ts";
import { readJoinToken } from "../identity/token.ts";
import type { SidecarOptions } from "../sidecar-options.ts";
import { contextPaths, controlAccess, readContextFacts } from "./context.ts";
import { serverLog, writeLog } from "./serve.ts";
import type { Settings } from "./settings.ts";

/**
 * Where the config and the identity come from: what is said explicitly, else the context. The context's operator may
 * also create the join token; anybody else brings one.
 */
export async function sidecarOptions(settings: Settings, app: SidecarOptions["app"]): Promise<SidecarOptions> {
  // A memory store is the control plane's: what a sidecar shares with others, it asks for there.
  const store = settings.get("store") === "memory" ? undefined : settings.get("store");
  const svidDir = settings.get("svid-dir");
  const explicitControl = settings.get("control");
  // A context that happens to lie here says nothing about a mesh that was named explicitly.
  const isSelfSufficient = explicitControl !== undefined || (store !== undefined && svidDir !== undefined);
  const context = isSelfSufficient ? null : readContextFacts(settings.need("dir"));
  const control = explicitControl ?? context?.control;
  if (control === undefined && store === undefined) {
    throw new MeshError(
      "ERR_OPTION_INVALID",
      `No mesh is known here: there is no context in "${settings.need("dir")}"`,
      {
        advice:
          "start `fetchmesh dev` first, or give --control https://HOST:PORT with --token, or --store redis://HOST:PORT with --svid-dir DIR",
      },
    );
  }
  const mtls = settings.need("mtls");
  const token = svidDir === undefined && mtls !== "off" ? await joinToken(settings, control) : undefined;

  return {
    service: settings.need("service"),
    namespace: settings.need("namespace"),
    app,
    outbound: settings.need("outbound"),
    inbound: settings.need("inbound"),
    inboundH2: settings.need("inbound-h2"),
    admin: settings.need("admin"),
    health: settings.need("health"),
    upstreams: settings.need("upstream").map(({ service, port }) => ({ service, listen: { host: "127.0.0.1", port } })),
    mtls,
    accessLog: settings.need("access-log"),
    drainTimeoutMs: settings.need("drain-timeout"),
    log: writeLog,
    ...known({
      store,
      control,
      token,
      svidDir,
      mesh: settings.get("mesh") ?? context?.mesh ?? meshOf(token),
      trustDomain: settings.get("trust-domain") ?? context?.trustDomain,
      zone: settings.get("zone"),
      advertise: settings.get("advertise"),
      instance: settings.get("instance"),
      stateDir: settings.get("state-dir"),
      requireSignedConfig: settings.get("require-signed-config"),
    }),
  };
}

async function joinToken(settings: Settings, control: string | undefined): Promise<string | undefined> {
  const token = settings.get("token");
  if (token !== undefined) return token;
  const file = settings.get("token-file");
  if (file !== undefined) return readToken(file);
  // resolveSidecarOptions says what is missing.
  if (control === undefined || !mayActAsOperator(settings)) return undefined;
  return createToken(settings);
}

/** Waits for the control plane, as a sidecar that was handed its token does. */
async function createToken(settings: Settings): Promise<string | undefined> {
  const { ControlClient } = await import("./control-client.ts");
  const client = new ControlClient(controlAccess(settings));
  const stateDir = settings.get("state-dir");
  const hasIdentity = stateDir !== undefined && existsSync(join(stateDir, "identity.json"));
  const [service, namespace] = [settings.need("service"), settings.need("namespace")];
  for (let isTold = false; ; isTold = true) {
    try {
      // A minute: used within moments, by this process.
      return (await client.createToken({ service, namespace, ttlMs: 60_000 })).token;
    } catch (error) {
      // Who was here before can do without: its certificate was kept.
      if (hasIdentity) return undefined;
      if (!(error instanceof MeshError) || error.code !== "ERR_CONNECT_FAILED") throw error;
      if (!isTold)
        serverLog.warn("not ready: the control plane cannot be reached, trying again until it can", {
          reason: error.message,
        });
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

const retryMs = 1_000;

/** The contract names no mesh for a sidecar that is handed a token: the token's issuer is it. */
function meshOf(token: string | undefined): string | undefined {
  return token === undefined ? undefined : readJoinToken(token).mesh;
}

function mayActAsOperator(settings: Settings): boolean {
  const paths = contextPaths(settings.need("dir"));
  return (
    existsSync(settings.get("operator-token-file") ?? paths.operatorToken) &&
    existsSync(settings.get("ca") ?? paths.root)
  );
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new MeshError("ERR_OPTION_INVALID", `Cannot read the join token from "${file}"`, {
      cause: error,
      advice: "write one there: fetchmesh token create --service NAME > FILE",
    });
  }
}

/** Without the keys whose value is undefined: an option that is there and undefined is not an absent option. */
function known<T extends Record<string, unknown>>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
