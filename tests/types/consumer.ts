/**
 * An application's program, compiled with the global types of Bun, and of Deno, which say more about `fetch` and `Response`
 * than the platform does: what mod.ts brings along has to compile there too, and without the types of Node.
 */
import { MeshError, type MeshErrorCode } from "../../mod.ts";

export function codeOf(reason: unknown): MeshErrorCode {
  return MeshError.from(reason).code;
}
