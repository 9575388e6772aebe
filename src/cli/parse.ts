/** Texts that people type, turned into values: each kind says what it expects, so that every refusal can. */

/** `undefined` means: not one of these. */
export interface ValueKind<T> {
  /** Completes the sentence "expected …", with an example where one helps. */
  readonly expected: string;
  readonly read: (text: string) => T | undefined;
}

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

export interface UnixAddress {
  readonly path: string;
}

export type Address = TcpAddress | UnixAddress;

const hostPattern = /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?)$/i;

function readPort(text: string): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

function readTcpAddress(text: string): TcpAddress | undefined {
  const colon = text.lastIndexOf(":");
  if (colon < 1) return undefined;
  const host = text.slice(0, colon);
  const port = readPort(text.slice(colon + 1));
  if (port === undefined || !hostPattern.test(host)) return undefined;
  // "[::1]" is how a URL writes it; sockets want it bare.
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port };
}

export const text: ValueKind<string> = {
  expected: "a text that is not empty",
  read: (value) => (value === "" ? undefined : value),
};

/** A DNS label: what a service, a namespace or a mesh may be called. */
export const label: ValueKind<string> = {
  expected: "a name of lower-case letters, digits and '-', at most 63, beginning and ending with a letter or digit",
  read: (value) => (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(value) ? value : undefined),
};

export const trustDomain: ValueKind<string> = {
  expected: "a trust domain: lower-case letters, digits, '.', '-' and '_', for example mesh.local",
  read: (value) => (/^[a-z0-9][a-z0-9._-]{0,254}$/.test(value) ? value : undefined),
};

export const port: ValueKind<number> = {
  expected: "a port from 1 to 65535",
  read: (value) => readPort(value) || undefined,
};

export const tcpAddress: ValueKind<TcpAddress> = {
  expected: "HOST:PORT with a port from 0 (any free one) to 65535, for example 127.0.0.1:8080",
  read: readTcpAddress,
};

/** An address somebody else dials: 0 is no port there. */
export const targetAddress: ValueKind<TcpAddress> = {
  expected: "HOST:PORT with a port from 1 to 65535, for example 127.0.0.1:8080",
  read: (value) => {
    const address = readTcpAddress(value);
    return address !== undefined && address.port > 0 ? address : undefined;
  },
};

export const address: ValueKind<Address> = {
  expected: "HOST:PORT with a port from 0 (any free one) to 65535, for example 127.0.0.1:15001, or unix:/path",
  read: (value) => {
    if (!value.startsWith("unix:")) return readTcpAddress(value);
    return value.startsWith("unix:/") ? { path: value.slice("unix:".length) } : undefined;
  },
};

/** The same, or a Unix socket somebody listens on. */
export const targetOrSocket: ValueKind<Address> = {
  expected: `${targetAddress.expected}, or unix:/path`,
  read: (value) => (value.startsWith("unix:") ? address.read(value) : targetAddress.read(value)),
};

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds. Go's and Gateway API's notation: "500ms", "10s", "1h30m". */
export const duration: ValueKind<number> = {
  expected: "a duration like 500ms, 10s, 5m, 24h or 1h30m",
  read: (value) => {
    if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(value)) return undefined;
    let sum = 0;
    for (const [, amount, unit] of value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
      sum += Number(amount) * unitMs[unit!]!;
    return Number.isSafeInteger(Math.round(sum)) ? Math.round(sum) : undefined;
  },
};

/** A duration that may not be zero: a lifetime, a wait. */
export const positiveDuration: ValueKind<number> = {
  expected: `${duration.expected}, more than 0`,
  read: (value) => duration.read(value) || undefined,
};

export const wholeNumber: ValueKind<number> = {
  expected: "a whole number, 0 or more",
  read: (value) => (/^\d{1,15}$/.test(value) ? Number(value) : undefined),
};

function readUrl(value: string, protocols: readonly string[]): string | undefined {
  if (!URL.canParse(value)) return undefined;
  const url = new URL(value);
  return protocols.includes(url.protocol) && url.hostname !== "" ? value : undefined;
}

export const controlUrl: ValueKind<string> = {
  expected: "the https URL of a control plane, for example https://127.0.0.1:15010",
  read: (value) => readUrl(value, ["https:"])?.replace(/\/+$/, ""),
};

/** What `--store` takes; which of them a verb can use is the verb's decision. */
export const storeUrl: ValueKind<string> = {
  expected: "memory, file:PATH or redis://HOST:PORT (rediss:// for TLS)",
  read: (value) => {
    if (value === "memory") return value;
    if (value.startsWith("file:")) return value.length > "file:".length ? value : undefined;
    return readUrl(value, ["redis:", "rediss:"]);
  },
};

export interface Upstream {
  readonly service: string;
  readonly port: number;
}

export const upstream: ValueKind<Upstream> = {
  expected: "NAME=PORT, for example orders=9001",
  read: (value) => {
    const [, service, portText] = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)=(\d+)$/.exec(value) ?? [];
    const port = portText === undefined ? undefined : readPort(portText);
    return service === undefined || port === undefined ? undefined : { service, port };
  },
};

export function oneOf<const T extends string>(...words: readonly T[]): ValueKind<T> {
  return {
    expected: `one of ${words.join(", ")}`,
    read: (value) => words.find((word) => word === value),
  };
}

/** A switch: `--once` alone, `FETCHMESH_ONCE=1`, `once: true`. */
export const yesNo: ValueKind<boolean> = {
  expected: "true or false",
  read: (value) => {
    if (["true", "1", "yes", "on", ""].includes(value.toLowerCase())) return true;
    return ["false", "0", "no", "off"].includes(value.toLowerCase()) ? false : undefined;
  },
};

/** `HOST:PORT` or `unix:/path`, as it is typed. */
export function formatAddress(address: Address): string {
  if ("path" in address) return `unix:${address.path}`;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
