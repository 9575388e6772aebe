/**
 * How an endpoint is dialled: as whom, and who it must prove to be. The expected identity is part of the key, and so is the
 * certificate's generation: a connection made as somebody we are no longer is not used for a new request.
 */
import type { EndpointState } from "./balance/endpoint.ts";
import type { Clock } from "./clock.ts";
import type { Dispatched } from "./exchange.ts";
import { peerVerifier } from "./identity/svid.ts";
import type { WorkloadCertificate, WorkloadState } from "./identity/workload.ts";
import type { BackendConfig } from "./policy/backend-config.ts";
import type { ConnectOptions } from "./runtime/contract.ts";
import type { Dial } from "./wire/pool-options.ts";

/** Made once per endpoint, certificate and config, not per request. */
export function peerDials(
  clock: Clock,
  workload: () => WorkloadCertificate | null,
): (x: Pick<Dispatched, "endpoint" | "route">) => Dial {
  const dials = new WeakMap<
    EndpointState,
    {
      readonly dial: Dial;
      readonly record: EndpointState["record"];
      readonly state: WorkloadState | null;
      readonly config: BackendConfig;
    }
  >();
  return ({ endpoint, route }) => {
    const { config } = route.backend;
    const { record } = endpoint;
    const state = record.identity === null ? null : (workload()?.current ?? null);
    const known = dials.get(endpoint);
    if (known !== undefined && known.record === record && known.state === state && known.config === config)
      return known.dial;
    const dial = makeDial(clock, endpoint, state, config);
    dials.set(endpoint, { dial, record, state, config });
    return dial;
  };
}

function makeDial(
  clock: Clock,
  { record }: EndpointState,
  state: WorkloadState | null,
  { connectTimeoutMs, limits: { maxConnections } }: BackendConfig,
): Dial {
  const { host, port, identity } = record;
  const connect: ConnectOptions = { host, port, timeoutMs: connectTimeoutMs };
  if (identity === null) return { key: `plain ${record.address}`, connect, maxConnections };
  // An endpoint that must prove who it is, and nobody to believe: a handshake that trusts no root fails, and says why.
  if (state === null)
    return {
      key: `untrusted ${record.address}`,
      connect: { ...connect, tls: { trust: { rootsPem: [] } } },
      maxConnections,
    };
  const verifyPeer = peerVerifier(state.spiffeId.trustDomain, identity, () => clock.epochMs());
  return {
    key: `${identity} ${record.address} ${state.generation}`,
    connect: { ...connect, tls: { identity: state.identity, trust: state.trust, verifyPeer, alpn: ["http/1.1"] } },
    maxConnections,
  };
}
