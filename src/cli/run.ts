/** `fetchmesh run`: a sidecar on free ports, then a command whose plain calls go through it. */
import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { createSidecar } from "../sidecar.ts";
import { serverLog, StopRequest, type StopSignal } from "./serve.ts";
import { type Address, port } from "./parse.ts";
import type { Settings } from "./settings.ts";
import { sidecarOptions } from "./sidecar-settings.ts";
import { UsageError } from "./usage-error.ts";
import type { Invocation } from "./verbs.ts";

export async function run({ settings, args, rest: afterDashes, output }: Invocation): Promise<number> {
  const command = [...args, ...afterDashes];
  if (command.length === 0) {
    throw new UsageError("which command? For example: fetchmesh run --service orders --port 8080 -- bun server.ts");
  }
  if ("path" in settings.need("outbound")) {
    throw new UsageError("run cannot use a Unix socket for --outbound: HTTP_PROXY names a host and a port");
  }
  let child: ChildProcess | null = null;
  // Whoever insists twice means the command, too.
  const stop = new StopRequest(() => signalChild(child, "SIGKILL"));
  const options = sidecarOptions(settings, appAddress(settings));
  const started = await stop.race(options.then(createSidecar));
  if (started === null) return 0;
  await output.value({ event: "ready", ...started.ready });
  try {
    const [program = "", ...rest] = command;
    child = spawn(program, rest, { env: commandEnvironment(settings, started.ready), stdio: "inherit" });
    void stop.requested.then((signal) => forward(signal, child));
    return await exitCodeOf(child, program);
  } finally {
    await started.drain();
  }
}

/** A command that only calls others listens nowhere; port 9 (discard) is where nothing answers, and the reply says so. */
function appAddress(settings: Settings): Address {
  const explicit = settings.get("app");
  if (explicit !== undefined) return explicit;
  return { host: "127.0.0.1", port: settings.get("port") ?? port.read(process.env["PORT"] ?? "") ?? 9 };
}

export interface SidecarAddresses {
  readonly service: string;
  readonly namespace: string;
  readonly instance: string;
  readonly outbound: string;
  readonly inbound: string;
  readonly admin: string;
  readonly spiffeId: string | null;
}

/** What makes an application's plain HTTP client go through the sidecar, and what it may want to know. */
function commandEnvironment(settings: Settings, facts: SidecarAddresses): NodeJS.ProcessEnv {
  const proxy = `http://${facts.outbound}`;
  // What is on this machine stays on it: health checks, databases, the application's own ports.
  const direct = "localhost,127.0.0.1,::1";
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    HTTP_PROXY: proxy,
    http_proxy: proxy,
    NO_PROXY: direct,
    no_proxy: direct,
    // Node's own fetch and http look at HTTP_PROXY only if asked to (24 and later).
    NODE_USE_ENV_PROXY: "1",
    FETCHMESH_SERVICE: facts.service,
    FETCHMESH_NAMESPACE: facts.namespace,
    FETCHMESH_INSTANCE: facts.instance,
    FETCHMESH_OUTBOUND: facts.outbound,
    FETCHMESH_INBOUND: facts.inbound,
    FETCHMESH_ADMIN: facts.admin,
    FETCHMESH_SPIFFE_ID: facts.spiffeId ?? "",
  };
  // Used up, and the application's business in no case.
  delete environment["FETCHMESH_TOKEN"];
  delete environment["FETCHMESH_TOKEN_FILE"];
  const listenPort = settings.get("port");
  if (listenPort !== undefined) environment["PORT"] = String(listenPort);
  return environment;
}

/** What a shell would show: the command's own, 128 + N after signal N, 127 or 126 if it cannot start. */
function exitCodeOf(child: ChildProcess, program: string): Promise<number> {
  return new Promise((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      serverLog.error("the command cannot be started", { command: program, error });
      resolve(error.code === "ENOENT" ? 127 : 126);
    });
    child.once("exit", (code, signal) => resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
  });
}

function forward(signal: StopSignal, child: ChildProcess | null): void {
  // A terminal sends Ctrl-C to the command as well; twice would read as "at once".
  if (signal === "SIGINT" && process.stdin.isTTY) return;
  signalChild(child, signal);
}

/** Not child.kill(): after it Deno reports a child that drained and exited with 0 as killed. */
function signalChild(child: ChildProcess | null, signal: NodeJS.Signals): void {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(child.pid, signal);
  } catch {
    // It ended in this very moment.
  }
}
