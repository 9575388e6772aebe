/**
 * What Gateway API, Istio and our own kinds define and this version does not do. Named, so that the answer is "not
 * supported yet" and not "unknown": and refused, because a rule that is silently not enforced is worse than none.
 */

const laterKinds = new Set([
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "UDPRoute",
  "RequestAuthentication",
  "PeerAuthentication",
  "RateLimitPolicy",
  "FaultPolicy",
  "EgressPolicy",
  "BackendTLSPolicy",
  "XBackendTrafficPolicy",
  "ReferenceGrant",
]);

const headerFilterTypes = ["RequestRedirect", "URLRewrite", "RequestMirror", "CORS", "ExternalAuth", "ExtensionRef"];

const laterValues: Readonly<Record<string, readonly string[]>> = {
  "HTTPRoute spec.parentRefs[].kind": ["Gateway", "ListenerSet", "XListenerSet"],
  "HTTPRoute spec.rules[].matches[].path.type": ["RegularExpression"],
  "HTTPRoute spec.rules[].matches[].headers[].type": ["RegularExpression"],
  "HTTPRoute spec.rules[].matches[].queryParams[].type": ["RegularExpression"],
  "HTTPRoute spec.rules[].filters[].type": headerFilterTypes,
  "HTTPRoute spec.rules[].backendRefs[].filters[].type": headerFilterTypes,
  "BackendPolicy spec.balance.algorithm": ["ring-hash", "maglev", "peak-ewma"],
  "AuthorizationPolicy spec.action": ["AUDIT", "CUSTOM"],
};

const sourceFields = [
  "ipBlocks",
  "notIpBlocks",
  "remoteIpBlocks",
  "notRemoteIpBlocks",
  "requestPrincipals",
  "notRequestPrincipals",
  "serviceAccounts",
  "notServiceAccounts",
];

const laterFields: Readonly<Record<string, readonly string[]>> = {
  "HTTPRoute spec": ["useDefaultGateways"],
  "HTTPRoute spec.parentRefs[]": ["sectionName"],
  "HTTPRoute spec.rules[]": ["sessionPersistence"],
  "BackendPolicy spec": ["healthCheck", "hedging", "outlier", "rateLimit", "locality"],
  "AuthorizationPolicy spec": ["provider"],
  "AuthorizationPolicy spec.rules[]": ["when"],
  "AuthorizationPolicy spec.rules[].from[].source": sourceFields,
  "AuthorizationPolicy spec.rules[].to[].operation": ["hosts", "notHosts", "ports", "notPorts"],
};

const generalise = (kind: string, path: readonly (string | number)[]): string => {
  let text = "";
  for (const step of path) text += typeof step === "number" ? "[]" : text === "" ? step : `.${step}`;
  return `${kind} ${text}`;
};

export function isLaterKind(kind: string): boolean {
  return laterKinds.has(kind);
}

export function isLaterField(kind: string, path: readonly (string | number)[], key: string): boolean {
  return laterFields[generalise(kind, path)]?.includes(key) ?? false;
}

export function isLaterValue(kind: string, path: readonly (string | number)[], value: unknown): boolean {
  return typeof value === "string" && (laterValues[generalise(kind, path)]?.includes(value) ?? false);
}
