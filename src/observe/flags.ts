/** Response flags as logs and metrics show them. */
import type { Exchange } from "../exchange.ts";

/** `UF,URX` where an attempt failed and giving up had a reason of its own, as Envoy lists them; "" if nothing was wrong. */
export function flagsOf(x: Exchange): string {
  const first = x.error === null ? "" : x.error.flag;
  return first === "" || first === x.flag ? x.flag : x.flag === "" ? first : `${first},${x.flag}`;
}
