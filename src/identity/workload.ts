/** The certificate a sidecar presents: renewed at half its life, replaced without a connection noticing. */
import { sleep, type Clock } from "../clock.ts";
import { MeshError, describeError } from "../errors.ts";
import type { Events } from "../observe/events.ts";
import type { Random } from "../random.ts";
import type { TlsIdentity, TlsTrust } from "../runtime/contract.ts";
import { readCertificate } from "./certificate.ts";
import { createKeyAndCsr } from "./csr.ts";
import { isKeyPair } from "./private-key.ts";
import { decodePem } from "./pem.ts";
import { sha256Hex } from "./sha256.ts";
import type { SpiffeId } from "./spiffe-id.ts";
import { verifySvid } from "./verify-svid.ts";

/** One generation of an identity. Immutable; replaced as a whole. */
export interface WorkloadState {
  readonly spiffeId: SpiffeId;
  readonly identity: TlsIdentity;
  readonly trust: TlsTrust;
  /** Epoch ms. */
  readonly notAfterMs: number;
  /** Lower-case hex SHA-256 of the leaf. */
  readonly certificateHash: string;
  /** 1-based; grows by one with each replacement. */
  readonly generation: number;
}

/** A certificate, its key and whom to believe: what a source delivers. */
export interface WorkloadMaterial {
  readonly chainPem: string;
  readonly privateKeyPem: string;
  readonly rootsPem: readonly string[];
}

/** Where certificates come from: the mesh's CA, or files that somebody else keeps fresh. */
export interface WorkloadCertificate {
  readonly current: WorkloadState;
  /** Called after every replacement, new trust before or together with a new certificate. Returns how to stop. */
  onChange(listener: (state: WorkloadState) => void): () => void;
  /** Stops renewing. The certificate at hand stays usable until it expires. */
  close(): void;
}

export interface IssuedWorkloadOptions {
  readonly spiffeId: SpiffeId;
  /** Asks the CA; called with a new request each time. `current` is null the first time (join), then what to renew with. */
  readonly request: (
    csrPem: string,
    current: WorkloadState | null,
  ) => Promise<{ readonly chainPem: string; readonly rootsPem: readonly string[] }>;
  /** A certificate from an earlier life of this process, still valid: nobody is asked before it is due for renewal. */
  readonly first?: WorkloadState;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
}

// Half-way there is as much time to fail in as there was to live; the spread keeps a fleet that started together apart.
const renewAt = 0.5;
const renewSpread = 0.1;
// setTimeout overflows after 24.8 days; waking once a day also notices a clock that was set.
const longestWaitMs = 86_400_000;
const firstRetryMs = 1_000;
const longestRetryMs = 60_000;

/**
 * Gets a certificate from the CA and keeps it fresh until `close`. Failures are told to `events` and repeated with full jitter;
 * meanwhile, the old certificate serves until it expires.
 *
 * @throws {MeshError} if the first certificate cannot be had
 */
export async function issuedWorkload(options: IssuedWorkloadOptions): Promise<WorkloadCertificate> {
  const { spiffeId, clock, random, events } = options;

  async function obtain(current: WorkloadState | null): Promise<WorkloadState> {
    const { privateKeyPem, csrPem } = await createKeyAndCsr(spiffeId);
    const { chainPem, rootsPem } = await options.request(csrPem, current);
    const state = await workloadState(
      { chainPem, privateKeyPem, rootsPem },
      clock.epochMs(),
      (current?.generation ?? 0) + 1,
    );
    if (state.spiffeId.text === spiffeId.text) return state;
    throw new MeshError(
      "ERR_UPSTREAM_IDENTITY",
      `The CA issued a certificate for ${state.spiffeId.text}, not for ${spiffeId.text}`,
    );
  }

  const holder = new CertificateHolder(options.first ?? (await obtain(null)), events);
  void renewUntil(holder.closed);
  return holder;

  async function renewUntil(closed: AbortSignal): Promise<void> {
    let obtainedAtMs = clock.epochMs();
    while (!closed.aborted) {
      const lifeMs = holder.current.notAfterMs - obtainedAtMs;
      await until(obtainedAtMs + lifeMs * (renewAt + renewSpread * (2 * random() - 1)), closed);
      for (let failures = 0; !closed.aborted; failures++) {
        try {
          const next = await obtain(holder.current);
          obtainedAtMs = clock.epochMs();
          if (!closed.aborted) holder.replace(next);
          break;
        } catch (error) {
          const leftMs = holder.current.notAfterMs - clock.epochMs();
          const end =
            leftMs > 0
              ? `the certificate at hand lasts ${Math.round(leftMs / 1000)} s more`
              : "the certificate has expired";
          events.certificateFailed?.(`renewal failed (${end}): ${describeError(error)}`);
          // A certificate of seconds needs retries in fractions of them.
          const scaleMs = Math.max(lifeMs, 1_000);
          const ceilingMs = Math.min(
            longestRetryMs,
            scaleMs / 10,
            Math.min(firstRetryMs, scaleMs / 20) * 2 ** Math.min(failures, 16),
          );
          await sleep(clock, Math.max(10, random() * ceilingMs), closed);
        }
      }
    }
  }

  async function until(epochMs: number, closed: AbortSignal): Promise<void> {
    for (let leftMs = epochMs - clock.epochMs(); leftMs > 0 && !closed.aborted; leftMs = epochMs - clock.epochMs()) {
      await sleep(clock, Math.min(leftMs, longestWaitMs), closed);
    }
  }
}

/**
 * Checks that certificate, key and roots belong together and makes a state of them.
 *
 * @throws {MeshError} ERR_OPTION_INVALID with the reason
 */
export async function workloadState(
  material: WorkloadMaterial,
  nowMs: number,
  generation: number,
): Promise<WorkloadState> {
  const { chainPem, privateKeyPem, rootsPem } = material;
  const chain = decodePem(chainPem, "CERTIFICATE");
  const roots = rootsPem.flatMap((pem) => decodePem(pem, "CERTIFICATE"));
  const spiffeId = await verifySvid({ chain, roots, nowMs, requiresKeyIds: false });
  if (typeof spiffeId === "string") throw unusable(spiffeId);
  const leaf = readCertificate(chain[0]!);
  if (typeof leaf === "string") throw unusable(leaf);
  if (!(await isKeyPair(privateKeyPem, leaf.publicKey))) throw unusable("the private key is not the certificate's");
  return Object.freeze({
    spiffeId,
    identity: { certificateChainPem: chainPem, privateKeyPem },
    trust: { rootsPem },
    notAfterMs: leaf.notAfterMs,
    certificateHash: sha256Hex(chain[0]!),
    generation,
  });
}

/** Holds the current state and tells who asked. Shared by every source. */
export class CertificateHolder implements WorkloadCertificate {
  readonly #listeners = new Set<(state: WorkloadState) => void>();
  readonly #events: Events;
  readonly #stop = new AbortController();
  #current: WorkloadState;

  constructor(first: WorkloadState, events: Events) {
    this.#current = first;
    this.#events = events;
    events.certificateChanged?.(first.notAfterMs);
  }

  get current(): WorkloadState {
    return this.#current;
  }

  get closed(): AbortSignal {
    return this.#stop.signal;
  }

  onChange(listener: (state: WorkloadState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  replace(next: WorkloadState): void {
    this.#current = next;
    for (const listener of this.#listeners) {
      try {
        listener(next);
      } catch (error) {
        // One listener that cannot use it must not keep the others on a certificate that ends.
        this.#events.certificateFailed?.(`a listener refused the new certificate: ${describeError(error)}`);
      }
    }
    this.#events.certificateChanged?.(next.notAfterMs);
  }

  close(): void {
    this.#listeners.clear();
    this.#stop.abort();
  }
}

function unusable(why: string): MeshError {
  return new MeshError("ERR_OPTION_INVALID", `The workload certificate is unusable: ${why}`, {
    advice: "Certificate, private key and bundle must be of one issue, and the clock right.",
  });
}
