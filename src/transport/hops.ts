/** A bound for requests that run in a circle. */
import { MeshError } from "../errors.ts";

/**
 * Meshed hops one request may make. Two sidecars a call, so eight services deep even if every one of them copies our counter
 * on; a request that runs in a circle is stopped within milliseconds.
 */
const maxHops = 16;

/** Counts them from service to service. `Via` is not added, as Envoy does by default: it would tell strangers our topology. */
export const hopsHeader = "x-mesh-hops";

/** What is wrong with so many hops behind a request; null if nothing is. */
export function hopsProblem(hops: number): MeshError | null {
  // Written so that NaN, which only a liar sends, is too many.
  if (hops < maxHops) return null;
  return new MeshError("ERR_LOOP_DETECTED", `The request has made ${maxHops} hops through the mesh`, {
    advice:
      "Look for a service whose endpoint is a sidecar's own port, or for services that call each other in a circle",
  });
}
