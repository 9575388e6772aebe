/**
 * From the authority of a request to the service it names: `NAME`, `NAME.NAMESPACE` or `NAME.NAMESPACE.svc.cluster.local`,
 * with or without a port.
 */
import type { ServiceConfig, ServiceKey } from "../control/snapshot.ts";

/** What an authority says. The port is the caller's word; whether the service has it is `servicePort`'s question. */
export interface ServiceName {
  readonly key: ServiceKey;
  readonly name: string;
  readonly namespace: string;
  /** `null` if the authority names none. */
  readonly port: number | null;
}

/** HTTP's own, when neither the caller nor a document says otherwise. */
const defaultPort = 80;

/** `null` if `authority` cannot name a service: an address, an external host, a label DNS would refuse. */
export function parseServiceName(authority: string, callerNamespace: string): ServiceName | null {
  const colon = authority.indexOf(":");
  const host = colon < 0 ? authority : authority.slice(0, colon);
  const port = colon < 0 ? null : parsePort(authority.slice(colon + 1));
  if (Number.isNaN(port)) return null;

  const labels = stripClusterDomain(host).split(".");
  const [name = "", namespace = callerNamespace] = labels;
  if (labels.length > 2 || !isLabel(name) || !isLabel(namespace)) return null;
  return { key: `${namespace}/${name}`, name, namespace, port };
}

/**
 * The port a call to `service` goes to, `null` if it has no such port. Without a document every port is accepted; with one,
 * a caller who names none means 80, or the first port if 80 is not among them.
 */
export function servicePort(service: ServiceConfig | undefined, asked: number | null): number | null {
  const ports = service?.ports ?? [];
  if (ports.length === 0) return asked ?? defaultPort;
  if (asked !== null) return ports.some(({ port }) => port === asked) ? asked : null;
  return ports.some(({ port }) => port === defaultPort) ? defaultPort : ports[0]!.port;
}

/**
 * Authorities already parsed. Callers choose them, so the cache is bounded and simply starts over when full: a mesh has far
 * fewer names than that, and whoever floods it only pays for his own parsing.
 */
export class ServiceNames {
  readonly #callerNamespace: string;
  readonly #limit: number;
  readonly #parsed = new Map<string, ServiceName | null>();

  constructor(callerNamespace: string, limit = 1_024) {
    this.#callerNamespace = callerNamespace;
    this.#limit = limit;
  }

  of(authority: string): ServiceName | null {
    const known = this.#parsed.get(authority);
    if (known !== undefined) return known;
    const name = parseServiceName(authority, this.#callerNamespace);
    if (this.#parsed.size >= this.#limit) this.#parsed.clear();
    this.#parsed.set(authority, name);
    return name;
  }
}

/** Kubernetes resolvers let applications stop at `.svc` too. */
function stripClusterDomain(host: string): string {
  if (host.endsWith(".svc.cluster.local")) return requireNamespace(host.slice(0, -".svc.cluster.local".length));
  if (host.endsWith(".svc")) return requireNamespace(host.slice(0, -".svc".length));
  return host;
}

/** `orders.svc.cluster.local` names a namespace nobody has; an empty name is refused instead of surprising. */
function requireNamespace(name: string): string {
  return name.includes(".") ? name : "";
}

/** NaN if it is not a port. */
function parsePort(text: string): number {
  if (text.length === 0 || text.length > 5) return Number.NaN;
  let port = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    port = port * 10 + digit;
  }
  return port >= 1 && port <= 65_535 ? port : Number.NaN;
}

/** RFC 1123 label, lower case. */
function isLabel(text: string): boolean {
  if (text.length === 0 || text.length > 63) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const isAlphanumeric = (code >= 97 && code <= 122) || (code >= 48 && code <= 57);
    const isInnerHyphen = code === 45 && i > 0 && i < text.length - 1;
    if (!isAlphanumeric && !isInnerHyphen) return false;
  }
  return true;
}
