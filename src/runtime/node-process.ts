/** `ProcessControl` on `node:process` and `node:child_process`, the same on Bun, Deno and Node. */
import { write } from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import { isatty } from "node:tty";
import { findExecutable } from "./exec.ts";
import { LineSink, type WriteBytes } from "./line-sink.ts";
import { spawnChild } from "./node-child.ts";
import type { ProcessControl, TerminationSignal } from "./process.ts";
import { MeshError } from "../errors.ts";
import { systemCode } from "./socket-errors.ts";

const MAX_INPUT_BYTES = 16_777_216;
const signalNumbers: Readonly<Record<TerminationSignal, number>> = { SIGINT: 2, SIGTERM: 15 };
/** A socket that broke while nobody listened: its owner was told by `close`, or is gone. */
const survivable =
  /^(?:ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTCONN|ECANCELED|ERR_STREAM_|ERR_SOCKET_|ERR_SSL_|ERR_TLS_|ERR_HTTP2_)/;

/** A pipe may be full: the write then waits on a thread of the runtime's pool, not on ours. */
export function writeToDescriptor(descriptor: 1 | 2): WriteBytes {
  return (bytes, done) => write(descriptor, bytes, 0, bytes.length, null, done);
}

export function nodeProcess(writeTo: (descriptor: 1 | 2) => WriteBytes): ProcessControl {
  const output = new LineSink(writeTo(1));
  const errorOutput = new LineSink(writeTo(2));
  const exit = async (code: number): Promise<never> => {
    await Promise.all([output.drained(), errorOutput.drained()]);
    process.exit(code);
  };
  return {
    pid: process.pid,
    args: process.argv.slice(2),
    env: process.env,
    hostname: hostname(),
    get directory() {
      return process.cwd();
    },
    executable: process.execPath,
    script: process.argv[1] ?? "",
    isOutputTerminal: isatty(1),
    isErrorTerminal: isatty(2),
    writeOutput: (text) => output.write(text),
    writeError: (text) => errorOutput.write(text),
    get linesDropped() {
      return output.dropped + errorOutput.dropped;
    },
    readInput,
    exit,
    usage() {
      const { user, system } = process.cpuUsage();
      return {
        cpuSeconds: (user + system) / 1e6,
        residentBytes: process.memoryUsage().rss,
        uptimeSeconds: process.uptime(),
      };
    },
    spawn: spawnChild,
    findExecutable: (name, folders = []) => findExecutable(name, folders, process.env["PATH"] ?? ""),

    onTermination(drain) {
      let isDraining = false;
      const drainAndExit = async (signal: TerminationSignal): Promise<void> => {
        try {
          await drain(signal);
        } catch (error) {
          const message = `drain failed: ${MeshError.from(error).message}`;
          errorOutput.write(`${JSON.stringify({ level: "error", message })}\n`);
          await exit(1);
        }
        await exit(0);
      };
      const onSignal = (signal: TerminationSignal): void => {
        if (isDraining) process.exit(128 + signalNumbers[signal]);
        isDraining = true;
        void drainAndExit(signal);
      };
      const onInterrupt = (): void => onSignal("SIGINT");
      const onTerminate = (): void => onSignal("SIGTERM");
      process.on("SIGINT", onInterrupt);
      process.on("SIGTERM", onTerminate);
      return () => {
        process.off("SIGINT", onInterrupt);
        process.off("SIGTERM", onTerminate);
      };
    },

    onUncaught(report) {
      process.on("uncaughtException", (error: unknown) => {
        const isFatal = !survivable.test(systemCode(error));
        report(error, isFatal);
        if (isFatal) void exit(1);
      });
      process.on("unhandledRejection", (error: unknown) => report(error, false));
    },
  };
}

async function readInput(): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_INPUT_BYTES)
      throw new MeshError("ERR_OPTION_INVALID", `stdin holds more than ${MAX_INPUT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
