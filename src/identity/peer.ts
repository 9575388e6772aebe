/** The identified other side of a connection. */

import type { SpiffeId } from "./spiffe-id.ts";

/** Facts read once per connection from the verified leaf's DER, never from a header or a runtime's SAN string. */
export interface Peer {
  readonly id: SpiffeId;
  /** Lower-case hex SHA-256 of the leaf's DER (XFCC `Hash`). */
  readonly certificateHash: string;
  /** Epoch ms after which the connection may not carry new requests. Infinity for the local application. */
  readonly notAfterMs: number;
  /** True for the application beside its own sidecar: it speaks over loopback and is who the sidecar is. */
  readonly isLocal: boolean;
}
