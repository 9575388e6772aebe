/** WebCrypto wherever we run: the platform's, else the one fallback for runtimes that hide theirs. */

let fallback: Crypto | null = null;

/** The platform's WebCrypto; Node before 19 keeps it behind a flag, there a polyfill is loaded once. */
export async function webCrypto(): Promise<Crypto> {
  if (globalThis.crypto?.subtle !== undefined) return globalThis.crypto;
  if (fallback === null) {
    const { Crypto: Polyfill } = await import("@peculiar/webcrypto");
    fallback = new Polyfill() as unknown as Crypto;
  }
  return fallback;
}

/** Views we make never lie over shared memory, which is all that separates the two types. */
export function bufferSource(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}
