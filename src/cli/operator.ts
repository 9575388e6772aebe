/** What an operator can do to a mesh, wherever it is done: by the control plane, or directly in a store. */
import type { DocumentSource } from "../control/documents.ts";
import type { Problem } from "../control/problems.ts";
import type { AppliedReport, MeshStatus } from "../control/status.ts";
import type { Settings } from "./settings.ts";

export interface Change {
  readonly action: "created" | "updated" | "deleted" | "unchanged";
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Published {
  readonly version: number;
  readonly digest: string;
  readonly changes: readonly Change[];
  readonly applied?: AppliedReport;
  /** Warnings: published all the same. */
  readonly problems?: readonly Problem[];
}

export interface PublishOptions {
  readonly message?: string;
  readonly expectVersion?: number;
  readonly dryRun?: boolean;
  readonly waitMs?: number;
}

export interface DocumentChange extends Change {
  readonly patch: string;
}

export interface HistoryRow {
  readonly version: number;
  readonly author: string;
  readonly message: string;
  readonly at: string;
  readonly changes: number;
}

export interface Resources {
  readonly version: number;
  readonly resources: readonly ShownResource[];
}

export interface ShownResource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
}

export interface ResourceFilter {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly version?: number;
}

export interface ForcedBreaker {
  readonly service: string;
  readonly endpoint: string | null;
  readonly state: "forced-open" | "forced-closed" | "reset";
  readonly until: string | null;
}

export interface BreakerTarget {
  readonly service: string;
  readonly namespace: string;
  readonly endpoint: string | null;
}

/** Problems that refuse a change are thrown as a `RefusedError`. */
export interface Operator {
  apply(sources: readonly DocumentSource[], options: PublishOptions): Promise<Published>;
  validate(sources: readonly DocumentSource[]): Promise<readonly Problem[]>;
  remove(document: { kind: string; namespace: string; name: string }, options: PublishOptions): Promise<Published>;
  diff(sources: readonly DocumentSource[]): Promise<readonly DocumentChange[]>;
  rollback(version: number, options: PublishOptions): Promise<Published>;
  resources(filter: ResourceFilter): Promise<Resources>;
  history(limit: number): Promise<readonly HistoryRow[]>;
  status(): Promise<MeshStatus>;
  forceBreaker(target: BreakerTarget, state: "forced-open" | "forced-closed", forMs: number): Promise<ForcedBreaker>;
  resetBreaker(target: BreakerTarget): Promise<ForcedBreaker>;
  close(): Promise<void>;
}

/** Documents were refused, or a change to them: each problem has its place. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(`${problems.length} problems`);
    this.problems = problems;
  }
}

/** The control plane of the context, or with `--store` the store itself. Loaded on demand: Redis costs start-up time. */
export async function openOperator(settings: Settings): Promise<Operator> {
  const store = settings.get("store");
  if (store !== undefined) {
    const { openStoreOperator } = await import("./store-operator.ts");
    return openStoreOperator(store, settings);
  }
  const { ControlClient } = await import("./control-client.ts");
  const { controlAccess } = await import("./context.ts");
  return new ControlClient(controlAccess(settings));
}
