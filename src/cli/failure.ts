/** What went wrong, as a message and an exit code: 2 where the command was not understood, else 1. */
import { describeError, MeshError } from "../errors.ts";
import type { Paint } from "./output.ts";
import { UsageError } from "./usage-error.ts";

export interface Failure {
  readonly text: string;
  readonly exitCode: 1 | 2;
}

export function describeFailure(error: unknown, paint: Paint): Failure {
  const label = paint.red("error:");
  if (error instanceof UsageError) return { text: `${label} ${error.message}`, exitCode: 2 };
  if (error instanceof MeshError) {
    const code = error.code === "ERR_INTERNAL" ? "" : paint.dim(` [${error.code}]`);
    const advice = error.advice === undefined ? "" : `\n${paint.cyan("try:")} ${error.advice}`;
    return { text: `${label} ${describeError(error)}${code}${advice}`, exitCode: 1 };
  }
  // A programming mistake of ours: the stack is the message.
  return { text: `${label} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, exitCode: 1 };
}

/** The failure of a server as its last log line; a command line that was not understood stays a text for people. */
export function failureLogLine(error: unknown): string | null {
  if (error instanceof UsageError) return null;
  const { code, advice } = MeshError.from(error);
  const fields = { code, ...(advice !== undefined && { advice }) };
  return JSON.stringify({ time: new Date().toISOString(), level: "error", message: describeError(error), ...fields });
}
