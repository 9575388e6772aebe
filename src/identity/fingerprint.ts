import { decodePem } from "./pem.ts";
import { sha256Hex } from "./sha256.ts";

/** "sha256:<hex>" of the first certificate's DER: how tokens and contexts name a root. */
export function rootFingerprint(pem: string): string {
  return `sha256:${sha256Hex(decodePem(pem, "CERTIFICATE")[0]!)}`;
}
