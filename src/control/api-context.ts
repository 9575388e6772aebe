import type { Clock } from "../clock.ts";
import type { Peer } from "../identity/peer.ts";
import type { Caller } from "./api-access.ts";
import type { Publisher } from "./publish.ts";

/** What every route of the control API works with. */
export interface ApiContext {
  readonly publisher: Publisher;
  readonly clock: Clock;
  /** Aborts when the control plane stops: streams that never end by themselves end then. */
  readonly stopping: AbortSignal;
}

/** What is known of a request besides its bytes. */
export interface ApiEnv {
  Bindings: { readonly peer: Peer | null };
  Variables: { caller: Caller };
}
