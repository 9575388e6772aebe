/** The one notion of failure: breaker, retry, balancing and metrics all ask here. */
import type { MeshError } from "../errors.ts";

/**
 * What an attempt says about its endpoint.
 * - `success`, `failure`: it answered, well or badly; a reset, a refused connection and a timeout are bad answers.
 * - `nothing`: the caller left, or the mesh refused before the endpoint was asked.
 */
export type Outcome = "success" | "failure" | "nothing";

/** 501 and 505 are the request's fault as much as any 4xx, but every breaker users know counts all of 5xx. */
export function classifyStatus(status: number): Outcome {
  return status >= 500 ? "failure" : "success";
}

export function classifyError(error: MeshError): Outcome {
  return error.origin === "upstream" ? "failure" : "nothing";
}
