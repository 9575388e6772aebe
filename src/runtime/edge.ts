/** The edge (workerd and its kin): the platform owns the sockets and the TLS, we have its `fetch`. No `node:` import. */
import type { Capabilities } from "./contract.ts";

/** What a mesh over the platform's `fetch` cannot do, and where that is documented. */
export const edgeCapabilities: Capabilities = Object.freeze({
  runtime: "edge",
  gaps: Object.freeze({
    sockets:
      "the platform terminates connections itself, see https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/",
    "client-certificates":
      "a certificate is bound to a `fetch` binding by the platform, see https://developers.cloudflare.com/workers/runtime-apis/bindings/mtls/",
    "peer-identity":
      "`fetch` always checks the DNS name of a certificate and never shows it, see https://developers.cloudflare.com/workers/runtime-apis/bindings/mtls/",
    "bounded-h1-over-tls": "the platform buffers, see https://developers.cloudflare.com/workers/platform/limits/",
    "reuse-port": "there are no listeners, see https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/",
    "unix-sockets":
      "there is no file system to hold them, see https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/",
    "certificate-rotation":
      "certificates are replaced by a deployment, see https://developers.cloudflare.com/workers/runtime-apis/bindings/mtls/",
  }),
});

/** workerd's own: the one way to tell its `fetch` how long a stream will be, as the header alone is ignored. */
declare const FixedLengthStream:
  | (new (length: number) => ReadableWritablePair<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>)
  | undefined;

/** A stream that the platform sends with this length; the stream itself where a header says it just as well. */
export function withLength(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  length: number | null,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return length === null || typeof FixedLengthStream === "undefined"
    ? stream
    : stream.pipeThrough(new FixedLengthStream(length));
}
