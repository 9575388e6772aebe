/**
 * One version of the config, compiled and immutable. A request holds one from beginning to end (I4); a new version is
 * compiled on the side and swapped by one assignment.
 */
import type { EndpointRecord } from "../balance/endpoint.ts";
import type { Authorization } from "../identity/authorization.ts";
import type { BackendConfig } from "../policy/backend-config.ts";
import type { RouteTable } from "../route/table.ts";
import type { Resource } from "./resources.ts";

/** `namespace/name`. */
export type ServiceKey = string;

export const serviceKey = (namespace: string, name: string): ServiceKey => `${namespace}/${name}`;

/** A `Service` document, resolved. */
export interface ServiceConfig {
  readonly key: ServiceKey;
  readonly name: string;
  readonly namespace: string;
  /** Empty: any port reaches it. */
  readonly ports: readonly ServicePort[];
  /** Endpoints the document lists itself; added to those the registry knows. */
  readonly endpoints: readonly EndpointRecord[];
}

export interface ServicePort {
  readonly name: string | null;
  readonly port: number;
  readonly appProtocol: string | null;
}

export interface Snapshot {
  readonly epoch: string;
  /** 0: nothing published yet. */
  readonly version: number;
  readonly digest: string;
  readonly documents: readonly Resource[];
  readonly services: ReadonlyMap<ServiceKey, ServiceConfig>;
  /**
   * The rules for calls to a service by a caller in a namespace: a consumer route (caller's namespace) replaces the
   * producer's (GAMMA). `null`: no route is attached, everything passes straight through.
   */
  routes(service: ServiceKey, callerNamespace: string): RouteTable | null;
  /** Resolved `BackendPolicy`; defaults where no document targets the service. Same object for the same version. */
  backend(service: ServiceKey): BackendConfig;
  /** Rules of the inbound side. */
  authorization(namespace: string, service: string): Authorization;
}
