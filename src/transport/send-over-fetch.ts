/** 6 send it, where the platform owns the sockets: the edge, and applications that bring their own `fetch`. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Dispatched, Handler } from "../exchange.ts";
import type { PlatformRequest } from "../listener/platform-request.ts";
import type { FetchTransport } from "../runtime/contract.ts";
import { withLength } from "../runtime/edge.ts";
import { removeHopByHop } from "./hop-by-hop.ts";
import { hopsHeader, hopsProblem } from "./hops.ts";

export interface SendOverFetchDeps {
  readonly transport: FetchTransport;
  readonly clock: Clock;
}

/**
 * Sends a dispatched exchange by the platform's `fetch`.
 *
 * @throws {MeshError} ERR_CAPABILITY_MISSING for an endpoint that must prove a SPIFFE identity: no platform `fetch` lets us
 * check one, and sending anyway would be trusting the network
 */
export function sendOverFetch(deps: SendOverFetchDeps): Handler<Dispatched> {
  const { transport, clock } = deps;
  return async (x) => {
    const { record } = x.endpoint;
    if (record.identity !== null) throw unprovable(record.address, record.identity, transport);
    if (x.aborted !== null) throw x.aborted;
    const abort = new AbortController();
    const interrupt = (reason: MeshError): void => abort.abort(reason);
    x.interrupt = interrupt;
    try {
      const response = await transport.fetch(upstreamRequest(x, abort.signal), `http://${record.address}`);
      x.respondedAtMs = clock.nowMs();
      // The hook stays: a body still streaming must stop when the caller goes.
      return response;
    } catch (error) {
      if (x.interrupt === interrupt) x.interrupt = null;
      if (abort.signal.aborted) throw abort.signal.reason;
      throw (x.request as PlatformRequest).source?.failure ?? error;
    }
  };
}

function unprovable(address: string, identity: string, { name, capabilities }: FetchTransport): MeshError {
  const gap = capabilities.gaps["peer-identity"];
  return new MeshError(
    "ERR_CAPABILITY_MISSING",
    `${address} must prove to be ${identity}, which the transport "${name}" cannot check`,
    {
      advice: `List endpoints in the Service document, such as those of a gateway, or call from where there are sockets${gap === undefined ? "" : ` (${gap})`}`,
    },
  );
}

/** The request as the endpoint gets it: the caller's, with the mesh's edits, to the rewritten target. */
function upstreamRequest(x: Dispatched, signal: AbortSignal): Request {
  const { request } = x;
  const hops = Number(x.head.get(hopsHeader) ?? 0);
  const problem = hopsProblem(hops);
  if (problem !== null) throw problem;
  const headers = new Headers(request.headers);
  removeHopByHop(headers);
  // Met by whoever received the request; no platform's `fetch` can send it on.
  headers.delete("expect");
  x.requestEdits.applyTo(headers);
  headers.set(hopsHeader, String(hops + 1));
  headers.set("host", x.upstreamAuthority ?? x.head.authority);
  const init: RequestInit & { duplex?: "half" } = { method: request.method, headers, signal, redirect: "manual" };
  const body = bodyOf(request);
  if (body !== null) {
    init.body = body;
    // Streaming uploads need it said (fetch standard §5.4); full duplex is not to be had on any platform yet.
    if (body instanceof ReadableStream) init.duplex = "half";
    // Its length is the platform's to write.
    else headers.delete("content-length");
  }
  return new Request(`http://${x.endpoint.record.address}${x.upstreamTarget ?? x.head.target}`, init);
}

function bodyOf(request: Request): ReadableStream<Uint8Array<ArrayBuffer>> | Uint8Array<ArrayBuffer> | null {
  const { source } = request as Partial<PlatformRequest>;
  if (source === undefined) return request.body;
  return (source.whole as Uint8Array<ArrayBuffer> | null) ?? withLength(source.stream(), source.length);
}
