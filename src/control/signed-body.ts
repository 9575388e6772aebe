/** A stored body is an envelope or a compact JWS around one. Reading the latter needs no cryptography; believing it does. */
import { MeshError } from "../errors.ts";
import { maxEnvelopeBytes } from "./envelope.ts";

/** base64url adds a third, header and signature a little. */
export const maxBodyChars: number = Math.ceil(maxEnvelopeBytes * 1.4);

const compact = /^[A-Za-z0-9_-]{1,1000}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,1000}$/;

export function isSigned(body: string): boolean {
  return body.length <= maxBodyChars && compact.test(body);
}

/**
 * The envelope of a body, whoever wrote it: for members that were given no key to verify it with.
 *
 * @throws {MeshError} ERR_STORE_CORRUPT
 */
export function openUnverified(body: string): string {
  if (body.length > maxBodyChars) throw new MeshError("ERR_STORE_CORRUPT", `larger than ${maxEnvelopeBytes} bytes`);
  if (!isSigned(body)) return body;
  const payload = body.slice(body.indexOf(".") + 1, body.lastIndexOf("."));
  try {
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (character) =>
      character.charCodeAt(0),
    );
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new MeshError("ERR_STORE_CORRUPT", "the signed body is not base64url of UTF-8", { cause });
  }
}
