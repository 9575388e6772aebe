/** PEM without Buffer. RFC 7468, strict: what looks like PEM and is not makes the whole text unusable, never shorter. */
import { MeshError } from "../errors.ts";

const block = /-----BEGIN ([A-Z0-9 ]+)-----\s*([A-Za-z0-9+/=\s]*?)\s*-----END \1-----/g;

/** DER of every block with this label, in order. @throws {MeshError} ERR_OPTION_INVALID if there is none or one is damaged */
export function decodePem(text: string, label: string): Uint8Array[] {
  const found: Uint8Array[] = [];
  let begun = text.split("-----BEGIN ").length - 1;
  for (const [, name, body] of text.matchAll(block)) {
    begun--;
    if (name === label) found.push(decodeBase64(body!, label));
  }
  if (begun !== 0) throw new MeshError("ERR_OPTION_INVALID", `PEM text is damaged: not every block is complete`);
  if (found.length === 0) throw new MeshError("ERR_OPTION_INVALID", `PEM text holds no ${label} block`);
  return found;
}

export function encodePem(der: Uint8Array, label: string): string {
  let binary = "";
  for (const byte of der) binary += String.fromCharCode(byte);
  const lines = btoa(binary).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** Each certificate of a bundle as a PEM of its own. */
export function splitCertificates(pem: string): string[] {
  return decodePem(pem, "CERTIFICATE").map((der) => encodePem(der, "CERTIFICATE"));
}

function decodeBase64(body: string, label: string): Uint8Array {
  try {
    const binary = atob(body.replace(/\s+/g, ""));
    return Uint8Array.from(binary, (character) => character.charCodeAt(0));
  } catch (cause) {
    throw new MeshError("ERR_OPTION_INVALID", `PEM block ${label} is not base64`, { cause });
  }
}
