/** What the registry says of an instance, as something that can be picked. */
import { splitAddress } from "../control/address.ts";
import type { InstanceRecord } from "../control/store.ts";
import type { EndpointRecord } from "./endpoint.ts";

/** `null` for an address nobody can dial: one bad record must not hide the others. */
export function instanceEndpoint(instance: InstanceRecord): EndpointRecord | null {
  const target = splitAddress(instance.address);
  if (target === null) return null;
  return {
    address: instance.address,
    host: target.host,
    port: target.port,
    instance: instance.id,
    zone: instance.zone,
    weight: instance.weight,
    identity: instance.spiffeId === "" ? null : instance.spiffeId,
  };
}
