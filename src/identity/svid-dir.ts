/** Certificates that somebody else keeps fresh: a directory as spiffe-helper writes it. A change of its files is a rotation. */
import type { Clock, Timer } from "../clock.ts";
import { MeshError, describeError } from "../errors.ts";
import type { Events } from "../observe/events.ts";
import { splitCertificates } from "./pem.ts";
import { CertificateHolder, workloadState, type WorkloadCertificate, type WorkloadState } from "./workload.ts";

/** The directory, injected. */
export interface SvidFiles {
  /** Null if there is no such file (now). */
  read(name: string): Promise<string | null>;
  /** Calls `changed` after any file changed, possibly often and early. Returns how to stop. */
  watch(changed: () => void): () => void;
}

export interface SvidDirOptions {
  readonly files: SvidFiles;
  readonly clock: Clock;
  readonly events: Events;
}

const names = { chain: "svid.pem", privateKey: "svid_key.pem", roots: "bundle.pem" } as const;
// Three files are replaced one after the other: a look in between finds parts that do not fit, and looks again.
const settleMs = 100;
// Notifications get lost (network file systems, replaced directories).
const pollMs = 30_000;
// How long files may not fit together before somebody is told.
const patienceMs = 2_000;

/**
 * Reads the directory and follows it. Files that do not fit together, or not yet, change nothing: the last good ones stay.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if what is there at the start is unusable
 */
export async function watchedWorkload(options: SvidDirOptions): Promise<WorkloadCertificate> {
  const { files, clock, events } = options;

  async function load(current: WorkloadState | null): Promise<WorkloadState> {
    const [chainPem, privateKeyPem, bundle] = await Promise.all([names.chain, names.privateKey, names.roots].map(need));
    const rootsPem = splitCertificates(bundle!);
    const isSame =
      current !== null &&
      current.identity.certificateChainPem === chainPem &&
      current.identity.privateKeyPem === privateKeyPem &&
      current.trust.rootsPem.join("") === rootsPem.join("");
    if (isSame) return current;
    const state = await workloadState(
      { chainPem: chainPem!, privateKeyPem: privateKeyPem!, rootsPem },
      clock.epochMs(),
      (current?.generation ?? 0) + 1,
    );
    if (current === null || current.spiffeId.text === state.spiffeId.text) return state;
    throw new MeshError(
      "ERR_OPTION_INVALID",
      `The certificate is now for ${state.spiffeId.text}, not for ${current.spiffeId.text}`,
      {
        advice: "A sidecar does not change who it is. Restart it if that is meant.",
      },
    );
  }

  async function need(name: string): Promise<string> {
    const text = await files.read(name);
    if (text !== null) return text;
    throw new MeshError("ERR_OPTION_INVALID", `${name} is missing`, {
      advice: `The directory must hold ${Object.values(names).join(", ")}, as spiffe-helper writes them.`,
    });
  }

  const holder = new CertificateHolder(await load(null), events);
  let timer: Timer | null = null;
  let isLoading = false;
  let isChanged = false;
  let unfitSinceMs: number | null = null;
  let unfitLooks = 0;
  let told = "";

  function lookIn(delayMs: number): void {
    timer?.cancel();
    timer = holder.closed.aborted ? null : clock.after(delayMs, () => void look());
  }

  async function look(): Promise<void> {
    if (isLoading) {
      isChanged = true;
      return;
    }
    isLoading = true;
    try {
      const next = await load(holder.current);
      if (next !== holder.current && !holder.closed.aborted) holder.replace(next);
      if (next.notAfterMs < clock.epochMs())
        throw new MeshError("ERR_OPTION_INVALID", `${names.chain} has expired and was not replaced`);
      unfitSinceMs = null;
      unfitLooks = 0;
      told = "";
    } catch (error) {
      unfitLooks++;
      tell(describeError(error));
    }
    isLoading = false;
    const delayMs = isChanged
      ? settleMs
      : Math.min(pollMs, unfitLooks === 0 ? pollMs : settleMs * 2 ** Math.min(unfitLooks, 16));
    isChanged = false;
    lookIn(delayMs);
  }

  function tell(reason: string): void {
    const nowMs = clock.nowMs();
    unfitSinceMs ??= nowMs;
    if (nowMs - unfitSinceMs < patienceMs || told === reason) return;
    told = reason;
    events.certificateFailed?.(`the files do not make a certificate, the last good ones stay: ${reason}`);
  }

  const unwatch = files.watch(() => lookIn(settleMs));
  lookIn(pollMs);
  holder.closed.addEventListener("abort", () => {
    timer?.cancel();
    unwatch();
  });
  return holder;
}
