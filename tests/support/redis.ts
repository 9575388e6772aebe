/** A real redis-server for one test file: own port, own folder, stopped by its own pid. */

import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import { eventually, freePort, tempDir } from "./ports.ts";

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  readonly pid: number;
  /** Sends one inline command and returns the raw reply; enough for PING, CONFIG, DEBUG and CLIENT. */
  command(line: string): Promise<string>;
  /** Ends it politely and removes its folder. */
  stop(): Promise<void>;
  /** Ends it as a crash would. The data on disk, if any, stays for `restart`. */
  kill9(): Promise<void>;
  /** Starts it again on the same port and folder. */
  restart(): Promise<void>;
}

export interface RedisServerOptions {
  /** Further arguments of redis-server, for example `["--appendonly", "yes"]`. */
  readonly args?: readonly string[];
}

/** Where redis-server is; `undefined` lets a test skip itself where there is none. */
const program: string = process.env["FETCHMESH_REDIS_SERVER"] || "redis-server";

export async function startRedis({ args = [] }: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = tempDir("fetchmesh-redis");
  const port = await freePort();
  let child = await launch(port, folder.path, args);
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child.pid ?? 0;
    },
    command: (line) => command(port, line),
    async stop() {
      await end(child, "SIGTERM");
      folder.remove();
    },
    kill9: () => end(child, "SIGKILL"),
    async restart() {
      await end(child, "SIGTERM");
      child = await launch(port, folder.path, args);
    },
  };
}

async function launch(port: number, folder: string, args: readonly string[]): Promise<ChildProcess> {
  const settings = [
    "--bind",
    "127.0.0.1",
    "--port",
    String(port),
    "--dir",
    folder,
    "--save",
    "",
    "--loglevel",
    "warning",
  ];
  const child = spawn(program, [...settings, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let failure: Error | undefined;
  child.stdout.on("data", (chunk) => void (output += String(chunk)));
  child.stderr.on("data", (chunk) => void (output += String(chunk)));
  child.on("error", (error) => void (failure = error));
  try {
    await eventually("redis-server to answer PING", async () => {
      if (failure !== undefined || child.exitCode !== null) return "ended";
      return (await command(port, "PING")) === "+PONG\r\n" && "ready";
    });
  } catch (error) {
    await end(child, "SIGKILL");
    throw new Error(`${program} did not answer on port ${port}: ${output}`, { cause: error });
  }
  if (failure !== undefined || child.exitCode !== null)
    throw new Error(`${program} did not start: ${failure?.message ?? output}`);
  return child;
}

function end(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resolve();
    child.once("exit", () => resolve());
    process.kill(child.pid, signal);
  });
}

/** Reads until the reply is complete as far as one line or one bulk string goes. */
function command(port: number, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => void socket.write(`${line}\r\n`));
    let reply = "";
    socket.setEncoding("utf8");
    socket.setTimeout(2000, () => socket.destroy(new Error(`No reply to ${line}`)));
    socket.once("error", reject);
    socket.on("data", (chunk) => {
      reply += String(chunk);
      if (!isComplete(reply)) return;
      socket.destroy();
      resolve(reply);
    });
    socket.once("close", () => reject(new Error(`Connection closed before the reply to ${line}`)));
  });
}

function isComplete(reply: string): boolean {
  const head = reply.indexOf("\r\n");
  if (head === -1) return false;
  const length = Number(reply.slice(1, head));
  return reply[0] !== "$" || length < 0 || reply.length >= head + length + 4;
}
