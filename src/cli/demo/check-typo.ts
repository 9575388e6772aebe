/** 6: a policy with a typo is refused with its place and what was meant, and the mesh goes on as before. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { problemText } from "../../control/problems.ts";
import { RefusedError } from "../operator.ts";
import { type Check, type CheckResult, pause, type Stage } from "./check.ts";
import { examples } from "./programs.ts";

export const typoRefused: Check = { name: "a policy with a typo refused, the mesh unharmed", run };

async function run({ load, operator }: Stage): Promise<CheckResult> {
  const before = (await operator.resources({})).version;
  const startedAtMs = performance.now();
  const source = { file: "typo.yaml", text: readFileSync(join(examples, "typo.yaml"), "utf8") };
  const refusal = await operator.apply([source], { message: "a typo" }).then(
    () => null,
    (error: unknown) => error,
  );
  await pause(500);
  const after = (await operator.resources({})).version;
  const { sent, failed, firstFailure } = load.report(startedAtMs);
  const unharmed = `still version ${after}; ${sent} requests sent since, ${failed} failed${failed > 0 ? `, first: ${firstFailure}` : ""}`;
  if (!(refusal instanceof RefusedError)) {
    const what = refusal === null ? "it was accepted" : `it failed differently: ${String(refusal)}`;
    return { ok: false, evidence: [what, unharmed] };
  }
  const [problem] = refusal.problems;
  return {
    ok:
      problem !== undefined &&
      problem.line > 0 &&
      problem.suggestion !== null &&
      before === after &&
      failed === 0 &&
      sent > 0,
    evidence: [problem === undefined ? "refused without a reason" : problemText(problem), unharmed],
  };
}
