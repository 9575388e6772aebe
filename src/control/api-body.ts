/** Bodies of the control API: JSON, bounded before it is parsed, checked against a schema. */
import * as z from "zod/mini";
import { MeshError } from "../errors.ts";
import { parseBounded } from "./envelope.ts";
import { pathText, type PathStep } from "./problems.ts";

// Sources of 1 MiB grow when they are quoted in JSON; a signed snapshot is a third larger than its envelope.
export const maxRequestBytes = 2_097_152;

/** @throws {MeshError} ERR_REQUEST_MALFORMED, ERR_REQUEST_TOO_LARGE */
export async function readBody<T>(request: Request, schema: z.ZodMiniType<T>): Promise<T> {
  const value = await readJson(request);
  const result = z.safeParse(schema, value);
  if (result.success) return result.data;
  const { path, code } = result.error.issues[0]!;
  const place = pathText(path.filter((step): step is PathStep => typeof step !== "symbol"));
  throw new MeshError(
    "ERR_REQUEST_MALFORMED",
    `The body is not what this call takes: ${place || "the whole of it"} (${code})`,
    {
      advice: "Send the JSON that the command-line reference describes for this call.",
    },
  );
}

export async function readJson(request: Request): Promise<unknown> {
  const text = await readText(request);
  try {
    return parseBounded(text, maxRequestBytes);
  } catch (cause) {
    throw new MeshError("ERR_REQUEST_MALFORMED", "The body is not JSON that can be read", {
      cause,
      advice: "Send one JSON object.",
    });
  }
}

async function readText(request: Request): Promise<string> {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > maxRequestBytes) throw tooLarge();
  if (request.body === null) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      // What a chunked body announces is nothing: counted as it comes.
      if (bytes > maxRequestBytes) throw tooLarge();
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  } catch (error) {
    if (error instanceof MeshError) throw error;
    throw new MeshError("ERR_REQUEST_MALFORMED", "The body is not UTF-8 or was cut short", { cause: error });
  }
}

function tooLarge(): MeshError {
  return new MeshError("ERR_REQUEST_TOO_LARGE", `The body is larger than ${maxRequestBytes} bytes`);
}
