/**
 * A certificate kept over a restart. A join token works once, so without this a sidecar that its supervisor starts again would
 * need an operator; with it, it goes on as who it was for as long as the certificate is valid.
 */
import type { Clock } from "../clock.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { workloadState, type WorkloadState } from "./workload.ts";

/** The part of a file system this needs. */
export interface KeeperFiles {
  readText(path: string): Promise<string | null>;
  writeAtomic(path: string, text: string, mode?: number): Promise<void>;
}

export interface KeptIdentity {
  readonly state: WorkloadState;
  /** Where to renew; null if it was not known. */
  readonly control: string | null;
  /** Public JWK that the mesh's config is signed with; null if it is not signed. */
  readonly configKey: unknown;
}

export class IdentityKeeper {
  readonly #files: KeeperFiles;
  readonly #path: string;

  constructor(files: KeeperFiles, path: string) {
    this.#files = files;
    this.#path = path;
  }

  /** What was kept, verified as if it had just arrived; null if it is not for `expected`, not valid any more, or not readable. */
  async load(expected: SpiffeId, clock: Clock): Promise<KeptIdentity | null> {
    try {
      const text = await this.#files.readText(this.#path);
      if (text === null) return null;
      const { chainPem, privateKeyPem, rootsPem, control, configKey } = JSON.parse(text) as Record<string, unknown>;
      if (typeof chainPem !== "string" || typeof privateKeyPem !== "string" || !Array.isArray(rootsPem)) return null;
      const state = await workloadState(
        { chainPem, privateKeyPem, rootsPem: rootsPem.map(String) },
        clock.epochMs(),
        1,
      );
      if (state.spiffeId.text !== expected.text || state.notAfterMs <= clock.epochMs()) return null;
      return { state, control: typeof control === "string" ? control : null, configKey: configKey ?? null };
    } catch {
      // Expired, damaged or somebody else's: joining again is what is left, and that says what it needs.
      return null;
    }
  }

  async save(state: WorkloadState, control: string | null, configKey: unknown): Promise<void> {
    const { identity, trust } = state;
    const kept = {
      chainPem: identity.certificateChainPem,
      privateKeyPem: identity.privateKeyPem,
      rootsPem: trust.rootsPem,
      control,
      configKey,
    };
    await this.#files.writeAtomic(this.#path, JSON.stringify(kept), 0o600);
  }
}
