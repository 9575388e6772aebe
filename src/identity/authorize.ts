/** The gate of the inbound side: asks the snapshot's policies before anything else is contacted. */
import { MeshError } from "../errors.ts";
import type { Identified, Layer } from "../exchange.ts";
import type { Peer } from "./peer.ts";

export interface AuthorizeDeps {
  /** The service this sidecar stands beside. */
  readonly namespace: string;
  readonly service: string;
  readonly self: () => Peer;
}

/** Lets a request pass if the policies of its own snapshot allow it: a policy takes effect on connections that are open already. */
export function authorize(deps: AuthorizeDeps): Layer<Identified> {
  const { namespace, service, self } = deps;
  return (next) => (x) => {
    const decision = x.snapshot.authorization(namespace, service).decide(x.peer, x.head, self().id.trustDomain);
    if (decision.allowed) return next(x);
    return Promise.reject(forbidden(x.peer, decision.policy));
  };
}

/** Which policy decided is for the operator's log, so it is the cause: an answer tells nobody how to get around it. */
function forbidden(peer: Peer, policy: string | null): MeshError {
  const who = peer.id.text === "" ? "a caller without identity" : peer.id.text;
  const cause = new Error(policy === null ? `no ALLOW policy matches ${who}` : `policy ${policy} denies ${who}`);
  return new MeshError("ERR_PEER_FORBIDDEN", "RBAC: access denied", {
    advice: "An AuthorizationPolicy decides who may call this service; the sidecar that refused names it in its log.",
    cause,
  });
}
