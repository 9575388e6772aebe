/** 2 who: adds the peer to the exchange, from what the connection proved and from nothing else. */
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import type { Accepted, Identified, Layer } from "../exchange.ts";
import type { Peer } from "./peer.ts";
import type { SpiffeId } from "./spiffe-id.ts";

export interface IdentifyDeps {
  readonly clock: Clock;
  /**
   * Lets connections without an identity pass as nobody: for a migration (`permissive`) and for meshes without mTLS. Nobody
   * matches no principal and no namespace, so only rules about everyone apply.
   *
   * @default false
   */
  readonly acceptsUnidentified?: boolean;
}

/** Whoever proved nothing. */
export const nobody: Peer = Object.freeze({
  id: Object.freeze({ text: "", trustDomain: "", path: "", namespace: null, service: null }),
  certificateHash: "",
  notAfterMs: Infinity,
  isLocal: false,
});

/**
 * Inbound: the peer is who its certificate says. A connection outlives no certificate: after `notAfterMs` it is refused and
 * closed, and whoever is still entitled comes back with a new one.
 */
export function identify(deps: IdentifyDeps): Layer<Accepted, Identified> {
  const { clock, acceptsUnidentified = false } = deps;
  return (next) => (x) => {
    const { peer } = x.connection;
    if (peer === null && acceptsUnidentified && !x.connection.encrypted) {
      x.peer = nobody;
      return next(x as Identified);
    }
    if (peer === null) return Promise.reject(unidentified("The connection proved no identity of this mesh"));
    if (clock.epochMs() > peer.notAfterMs) {
      x.responseEdits.set("connection", "close");
      return Promise.reject(
        unidentified(`The certificate of ${peer.id.text} has expired since the connection was made`),
      );
    }
    x.peer = peer;
    return next(x as Identified);
  };
}

export interface IdentifyLocalDeps {
  /** The application this sidecar stands beside. A function: an identity changes its certificate while it runs. */
  readonly self: () => Peer;
}

/** Outbound: who calls over loopback is the sidecar's own application. */
export function identifyLocal(deps: IdentifyLocalDeps): Layer<Accepted, Identified> {
  const { self } = deps;
  return (next) => (x) => {
    x.peer = self();
    return next(x as Identified);
  };
}

/** The application beside a sidecar, as a peer. `certificateHash` is that of the sidecar's certificate, or "" without one. */
export function localPeer(id: SpiffeId, certificateHash = ""): Peer {
  return { id, certificateHash, notAfterMs: Infinity, isLocal: true };
}

function unidentified(message: string): MeshError {
  return new MeshError("ERR_PEER_UNIDENTIFIED", message, {
    advice: "Call through a sidecar of this mesh: it presents a certificate that the mesh's CA issued.",
  });
}
