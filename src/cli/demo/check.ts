/** One promise of the mesh, checked: what was expected, and the evidence. */
import type { Operator } from "../operator.ts";
import type { Fleet } from "./fleet.ts";
import type { Load } from "./load.ts";

export interface Stage {
  readonly fleet: Fleet;
  readonly load: Load;
  readonly operator: Operator;
}

export interface CheckResult {
  readonly ok: boolean;
  /** Sentences a reader can verify; the first one also says what failed. */
  readonly evidence: readonly string[];
}

export interface Check {
  readonly name: string;
  readonly run: (stage: Stage) => Promise<CheckResult>;
}

export const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
