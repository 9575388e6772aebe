/** Certificates, keys and roots on their way into `node:tls`: checked before they replace something that works. */
import { constants, createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import { MeshError } from "../errors.ts";
import type { TlsIdentity, TlsTrust } from "./contract.ts";
import { describeSystemError } from "./socket-errors.ts";

/**
 * The part of a TLS configuration that rotates.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if something cannot be read or the key is another certificate's. Checked by us, because
 * Deno finds out at the first handshake, when nobody is left to tell
 */
export function materialOf(identity: TlsIdentity | undefined, trust: TlsTrust): SecureContextOptions {
  try {
    trust.rootsPem.forEach((root) => new X509Certificate(root));
    if (identity !== undefined) {
      const leaf = new X509Certificate(identity.certificateChainPem);
      if (!leaf.checkPrivateKey(createPrivateKey(identity.privateKeyPem)))
        throw new Error("the key is another certificate's");
    }
  } catch (error) {
    throw unusableMaterial(error);
  }
  return {
    ...(identity !== undefined && { cert: identity.certificateChainPem, key: identity.privateKeyPem }),
    ca: [...trust.rootsPem],
    minVersion: "TLSv1.3",
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

export function unusableMaterial(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  const message = `certificate or key is not usable: ${describeSystemError(error)}`;
  return new MeshError("ERR_OPTION_INVALID", message, { cause: error });
}

const nobody: object = {};
const contexts = new WeakMap<TlsTrust, WeakMap<object, SecureContext>>();

/** Parsed once per identity and trust (0.4 ms on Node, 1 ms on Deno), which live as long as a certificate does. */
export function clientContextOf(identity: TlsIdentity | undefined, trust: TlsTrust): SecureContext {
  let ofTrust = contexts.get(trust);
  if (ofTrust === undefined) contexts.set(trust, (ofTrust = new WeakMap()));
  const key = identity ?? nobody;
  let context = ofTrust.get(key);
  if (context === undefined) {
    context = createSecureContext(materialOf(identity, trust));
    ofTrust.set(key, context);
  }
  return context;
}
