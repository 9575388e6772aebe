/** The documents a mesh is configured with. One schema per kind is the source of its type and of its validation. */
import type { AuthorizationPolicy } from "./resource-authorization.ts";
import type { BackendPolicy } from "./resource-backend-policy.ts";
import type { HttpRoute } from "./resource-http-route.ts";
import type { ServiceResource } from "./resource-service.ts";

export type { Metadata } from "./resource-common.ts";
export type { ServiceEndpoint, ServiceResource } from "./resource-service.ts";
export type {
  HttpBackendRef,
  HttpHeaderModifier,
  HttpParentRef,
  HttpRoute,
  HttpRouteFilter,
  HttpRouteMatch,
  HttpRouteRule,
  RetrySpec,
} from "./resource-http-route.ts";
export type { BackendPolicy } from "./resource-backend-policy.ts";
export type {
  AuthorizationOperation,
  AuthorizationPolicy,
  AuthorizationRule,
  AuthorizationSource,
} from "./resource-authorization.ts";

/** Any document, validated. `switch (resource.kind)` narrows it. */
export type Resource = ServiceResource | HttpRoute | BackendPolicy | AuthorizationPolicy;
export type ResourceKind = Resource["kind"];
