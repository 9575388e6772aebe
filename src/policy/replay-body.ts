/** Whether the body of a request can be sent once more. */
import type { Sent } from "../errors.ts";
import type { WireRequest } from "../wire/message.ts";

/**
 * A body that arrived whole is kept anyway and can be sent any number of times; one in motion only while nobody has taken a
 * byte of it. Streams are never buffered for a repeat's sake.
 */
export function isReplayable(request: Request, sent: Sent): boolean {
  const { source } = request as Partial<WireRequest>;
  if (source === undefined) return request.body === null || (sent === "nothing" && !request.bodyUsed);
  if (source.whole !== null || source.length === 0) return true;
  return sent === "nothing" && source.isPiped === false;
}

/** RFC 9110 §9.2.2: doing it twice is the same as doing it once. CONNECT and the unknown are not among them. */
export function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "PUT":
    case "DELETE":
    case "OPTIONS":
    case "TRACE":
      return true;
    default:
      return false;
  }
}
