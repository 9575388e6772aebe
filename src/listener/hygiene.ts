/**
 * Whose word counts in a header. Only what the mesh verified itself goes on to the other side; what a caller says of its own
 * identity, or to steer the mesh, does not (L1, L2, L6, L29).
 *
 * Everything is done by `requestEdits`, which the writer applies after hop-by-hop fields are gone: nothing that a caller
 * names in `Connection` can take away what is set here.
 */
import type { Accepted, Exchange, Identified, Layer } from "../exchange.ts";
import type { Peer } from "../identity/peer.ts";
import { isProtectedHeader, mayBeProtected } from "../protected-headers.ts";

/** From the application: it has no say in identity and control headers. Nothing is set: its peers see our certificate. */
export function cleanOutbound(): Layer<Accepted> {
  return (next) => (x) => {
    stripProtected(x);
    return next(x);
  };
}

export interface CleanInboundDeps {
  /** Who this sidecar is: the `By` of `x-forwarded-client-cert`. */
  readonly self: () => Peer;
}

/** From a peer: replaces what it claims by what its certificate proved (Envoy's SANITIZE_SET). */
export function cleanInbound(deps: CleanInboundDeps): Layer<Identified> {
  const { self } = deps;
  // A peer object lives as long as its connection, and so does its line.
  const lines = new WeakMap<Peer, string>();
  return (next) => (x) => {
    stripProtected(x);
    const { peer } = x.connection;
    if (peer !== null) {
      let line = lines.get(peer);
      if (line === undefined) lines.set(peer, (line = clientCertLine(self(), peer)));
      x.requestEdits.set("x-forwarded-client-cert", line);
    }
    keepAttempt(x);
    return next(x);
  };
}

function stripProtected(x: Exchange): void {
  const names = x.head.names(mayBeProtected);
  for (let i = 0; i < names.length; i++) if (isProtectedHeader(names[i]!)) x.requestEdits.remove(names[i]!);
}

/** The one thing a caller's sidecar may say: which try this is. A liar gains nothing by it, and a service wants to know. */
function keepAttempt(x: Exchange): void {
  const attempt = x.head.get("x-envoy-attempt-count");
  // One digit or two, never a list: no policy repeats a request a hundred times.
  if (attempt !== null && attempt.length <= 2 && Number(attempt) > 0)
    x.requestEdits.set("x-envoy-attempt-count", attempt);
}

/** As Istio writes it. Nothing needs quoting: a SPIFFE ID has no `,`, `;` or `=`, and a leaf of ours has no subject. */
function clientCertLine(self: Peer, peer: Peer): string {
  return `By=${self.id.text};Hash=${peer.certificateHash};Subject="";URI=${peer.id.text}`;
}
