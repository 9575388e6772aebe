/** `fetchmesh demo`: the main job on real services, with checks; on a terminal it then goes on until Ctrl-C. */
import { describeError } from "../errors.ts";
import { canaryAndBack } from "./demo/check-canary.ts";
import { toldByOthers } from "./demo/check-fleet-breaker.ts";
import { everyHopEncrypted } from "./demo/check-hops.ts";
import { killedUnderLoad } from "./demo/check-kill.ts";
import { strangersRefused } from "./demo/check-strangers.ts";
import { typoRefused } from "./demo/check-typo.ts";
import { type Check, type CheckResult, ms, pause, type Stage } from "./demo/check.ts";
import { Fleet } from "./demo/fleet.ts";
import type { Load } from "./demo/load.ts";
import { runtimeChoice, startStage } from "./demo/start-stage.ts";
import { watch } from "./demo/watch.ts";
import type { Output } from "./output.ts";
import { StopRequest } from "./serve.ts";
import type { Invocation } from "./verbs.ts";

const checks: readonly Check[] = [
  everyHopEncrypted,
  strangersRefused,
  killedUnderLoad,
  canaryAndBack,
  toldByOthers,
  typoRefused,
];

/** Whoever does not watch gets an answer within 30 s; draining takes the rest. */
const longestMs = 28_000;

export async function demo({ settings, output }: Invocation): Promise<number> {
  const startedAtMs = performance.now();
  const stop = new StopRequest();
  const say = (text: string): Promise<void> => (output.json ? output.message(text) : output.text(text));
  const fleet = new Fleet({ store: settings.need("store"), runtimeOf: runtimeChoice(settings.get("runtime")) });
  let load: Load | null = null;
  try {
    await say(`starting a control plane, three services and their sidecars (store: ${settings.need("store")})`);
    const started = await stop.race(startStage(fleet));
    if (started === null) return 0;
    const { stage, control, firstRequestAtMs, rate } = started;
    load = stage.load;
    await say(
      `${fleet.members.length} sidecars on ${runtimesOf(fleet)}; control plane ${control}; ${rate} requests per second; first proven request after ${ms(firstRequestAtMs - startedAtMs)}\n`,
    );
    const staysOn = output.isTerminal && settings.get("once") !== true && !output.json;
    const results = await stop.race(runChecks(stage, output, staysOn ? Infinity : startedAtMs + longestMs));
    if (results === null) return 0;
    const isWell = results.every(({ ok }) => ok);
    if (output.json)
      await output.value({ ok: isWell, tookMs: Math.round(performance.now() - startedAtMs), checks: results });
    else
      await output.text(
        `\n${results.filter(({ ok }) => ok).length} of ${results.length} checks passed in ${((performance.now() - startedAtMs) / 1_000).toFixed(1)} s`,
      );
    if (staysOn) await watch(stage, stop, output);
    return isWell ? 0 : 1;
  } finally {
    await say(output.isTerminal ? "\ndraining" : "draining");
    await load?.stop();
    await fleet.stop();
  }
}

interface Told extends CheckResult {
  readonly name: string;
  readonly tookMs: number;
}

async function runChecks(stage: Stage, output: Output, endsAtMs: number): Promise<readonly Told[]> {
  const { paint } = output;
  const results: Told[] = [];
  // A moment of load before anything is looked at.
  await pause(500);
  for (const [index, { name, run }] of checks.entries()) {
    const startedAtMs = performance.now();
    const result = await inTime(endsAtMs, run, stage);
    results.push({ name, ...result, tookMs: Math.round(performance.now() - startedAtMs) });
    const mark = result.ok ? paint.green("✓") : paint.red("✗");
    const lines = [
      `${mark} ${index + 1}. ${paint.bold(name)}`,
      ...result.evidence.map((line) => `     ${paint.dim(line)}`),
    ];
    await (output.json ? output.message(lines.join("\n")) : output.text(lines.join("\n")));
  }
  return results;
}

/** A check's result; that it failed, if it did not come to one. */
async function inTime(endsAtMs: number, run: Check["run"], stage: Stage): Promise<CheckResult> {
  const late: CheckResult = { ok: false, evidence: [`not finished ${longestMs / 1_000} s after the start`] };
  const leftMs = endsAtMs - performance.now();
  if (leftMs <= 0) return late;
  const result = run(stage).catch((error: unknown): CheckResult => ({
    ok: false,
    evidence: [`it could not be carried out: ${describeError(error)}`],
  }));
  return leftMs === Infinity ? result : Promise.race([result, pause(leftMs).then(() => late)]);
}

function runtimesOf(fleet: Fleet): string {
  return [...new Set(fleet.members.map(({ facts }) => facts.runtime))].sort().join(" and ");
}
