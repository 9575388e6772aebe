/** `host:port` as documents and registry records write it. */

const hostShape =
  /^(?:[A-Za-z0-9_](?:[-A-Za-z0-9_]{0,62})(?:\.[A-Za-z0-9_](?:[-A-Za-z0-9_]{0,62}))*\.?|\[[0-9A-Fa-f:.]{2,45}\])$/;

/** The two halves, the host without brackets; `null` if it is not an address. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } | null {
  const colon = address.lastIndexOf(":");
  if (colon <= 0 || address.length > 300) return null;
  const host = address.slice(0, colon);
  const digits = address.slice(colon + 1);
  if (!/^[0-9]{1,5}$/.test(digits) || !hostShape.test(host)) return null;
  const port = Number(digits);
  if (port < 1 || port > 65_535) return null;
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port };
}
