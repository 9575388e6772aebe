/** How a member of the mesh calls its control plane. */
import type { Clock } from "./clock.ts";
import { controlTls } from "./identity/control-tls.ts";
import type { WorkloadCertificate } from "./identity/workload.ts";
import type { SocketTransport } from "./runtime/contract.ts";
import { wireFetch } from "./transport/wire-fetch.ts";
import type { WireFetch } from "./transport/wire-options.ts";

/** A `fetch` that calls the control plane as whoever the certificate says now, and believes nobody else to be it. */
export function fetchAs(workload: WorkloadCertificate, transport: SocketTransport, clock: Clock): WireFetch {
  const make = (): WireFetch => {
    const { identity, trust, spiffeId } = workload.current;
    return wireFetch(transport, { clock, tls: controlTls(trust, spiffeId.trustDomain, clock, identity) });
  };
  let current = make();
  const unfollow = workload.onChange(() => {
    const before = current;
    current = make();
    // Closes what is idle; a request or an event stream under way ends by itself.
    before.close();
  });
  const close = (): void => {
    unfollow();
    current.close();
  };
  return Object.assign((request: Request) => current(request), { close });
}
