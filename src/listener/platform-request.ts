/** A request made with the platform's own `fetch` arguments, whose body can go to more than one endpoint. */
import { PlatformBody } from "./platform-body.ts";

/** A `Request` like any other, except that its body is taken from `source`: reading it here would leave nothing to send. */
export class PlatformRequest extends Request {
  readonly source: PlatformBody | undefined;

  constructor(input: Request | URL | string, init: RequestInit = {}) {
    super(input, init);
    const { body } = this;
    this.source = body === null ? undefined : new PlatformBody(body, bytesOf(init.body), announced(this.headers));
  }
}

/** What the caller holds in memory already: given to the platform as bytes, it is sent with its length and can be repeated. */
function bytesOf(body: RequestInit["body"]): Uint8Array | null {
  if (typeof body === "string") return new TextEncoder().encode(body);
  if (body instanceof URLSearchParams) return new TextEncoder().encode(body.toString());
  // A copy, as `fetch` makes one: the caller may go on writing to it.
  if (body instanceof ArrayBuffer) return new Uint8Array(body.slice(0));
  return ArrayBuffer.isView(body) ? new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice() : null;
}

function announced(headers: Headers): number | null {
  const length = headers.get("content-length");
  return length !== null && /^\d{1,15}$/.test(length) ? Number(length) : null;
}
