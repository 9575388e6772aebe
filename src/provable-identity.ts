/** Who an instance must prove to be, which is nothing that the store can say. */
import type { InstanceRecord } from "./control/store.ts";
import { meshId } from "./identity/spiffe-id.ts";

/**
 * The registry says where instances are, never who: an entry could be forged by whoever writes to the store. The identity an
 * endpoint must prove follows from the name of the service that was called. `trustDomain` is null in a mesh without mTLS.
 */
export function withProvableIdentity(record: InstanceRecord, trustDomain: string | null): InstanceRecord {
  const spiffeId = trustDomain === null ? "" : meshId(trustDomain, record.namespace, record.service).text;
  return record.spiffeId === spiffeId ? record : { ...record, spiffeId };
}
