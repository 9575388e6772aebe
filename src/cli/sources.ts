/** The documents of `-f`: a file, or stdin. */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { DocumentSource } from "../control/documents.ts";
import { MeshError } from "../errors.ts";

/** @throws {MeshError} ERR_OPTION_INVALID if it cannot be read */
export async function readSource(file: string): Promise<DocumentSource> {
  try {
    if (file === "-") return { file: "-", text: await readStdin() };
    return { file, text: readFileSync(file, "utf8") };
  } catch (error) {
    throw new MeshError("ERR_OPTION_INVALID", `Cannot read the documents in "${file}"`, { cause: error });
  }
}

async function readStdin(): Promise<string> {
  process.stdin.setEncoding("utf8");
  let text = "";
  for await (const chunk of process.stdin) text += String(chunk);
  return text;
}
