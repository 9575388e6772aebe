/** Hop-by-hop hygiene for those who hold platform `Headers`; on our own wire the parser's marks do the same without a map. */
import { hopByHopNames } from "../wire/fields.ts";

/** Must survive being named in `Connection`: without them the next hop would read another message (RFC 9110 §7.6.1). */
const unnamable: ReadonlySet<string> = new Set(["host", "content-length"]);

/**
 * Removes what belongs to one connection: the fields of RFC 9110 §7.6.1 and those `Connection` names. Call it before the mesh
 * adds its own, so that no peer can name those away (CVE-2024-45410). `te: trailers` is kept, as gRPC needs it.
 */
export function removeHopByHop(headers: Headers): void {
  const named = headers.get("connection");
  const takesTrailers = headers.get("te")?.toLowerCase().includes("trailers") ?? false;
  for (const name of hopByHopNames) headers.delete(name);
  if (named !== null) {
    for (const part of named.split(",")) {
      const name = part.trim().toLowerCase();
      // What is no token cannot be the name of a field, and `delete` would throw on it.
      if (/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) && !unnamable.has(name)) headers.delete(name);
    }
  }
  if (takesTrailers) headers.set("te", "trailers");
}
