/** 6 send it, where the platform owns the sockets: the edge, and applications that bring their own `fetch`. */
import { MeshError } from "../errors.ts";
import type { Dispatched, Handler } from "../exchange.ts";
import type { Clock } from "../clock.ts";
import type { FetchTransport } from "../runtime/contract.ts";

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
    if (record.identity !== null) {
      throw new MeshError("ERR_CAPABILITY_MISSING", `${record.address} must prove ${record.identity}, which the transport "${transport.name}" cannot check`, {
        advice: transport.capabilities.gaps["peer-identity"] ?? "Use a transport with peer identity, or a static endpoint without one",
      });
    }
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
      throw abort.signal.aborted ? abort.signal.reason : error;
    }
  };
}

/** The request as the endpoint gets it: the caller's, with the mesh's edits, to the rewritten target. */
function upstreamRequest(x: Dispatched, signal: AbortSignal): Request {
  const headers = new Headers(x.request.headers);
  x.requestEdits.applyTo(headers);
  const authority = x.upstreamAuthority ?? x.head.authority;
  headers.set("host", authority);
  const { body } = x.request;
  const init: RequestInit & { duplex?: "half" } = { method: x.request.method, headers, signal, redirect: "manual" };
  if (body !== null) {
    init.body = body;
    // Streaming uploads need it said (fetch standard §5.4); full duplex is not to be had on any platform yet.
    init.duplex = "half";
  }
  return new Request(`http://${authority}${x.upstreamTarget ?? x.head.target}`, init);
}
