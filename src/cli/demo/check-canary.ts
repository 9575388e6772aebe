/** 4: a policy changes while traffic flows: live everywhere within milliseconds, no restart; and back again. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Published } from "../operator.ts";
import { type Check, type CheckResult, ms, pause, type Stage } from "./check.ts";
import { order } from "./load.ts";
import { examples } from "./programs.ts";
import { eventually } from "./scrape.ts";

export const canaryAndBack: Check = { name: "a 90/10 canary published live, then rolled back", run };

async function run({ fleet, load, operator }: Stage): Promise<CheckResult> {
  const [web] = fleet.of("web");
  const pids = fleet.members.map(({ sidecar }) => sidecar.pid).join();
  const before = (await operator.resources({})).version;
  const startedAtMs = performance.now();

  const source = { file: "canary.yaml", text: readFileSync(join(examples, "canary.yaml"), "utf8") };
  const published = await operator.apply([source], {
    message: "a tenth of the orders to the new version",
    waitMs: 10_000,
  });
  const liveAtMs = performance.now();
  const chosen = await Promise.all(Array.from({ length: 20 }, () => order(web!.app, { "x-canary": "always" })));
  const byHeader = chosen.filter(({ version }) => version === "v2").length;
  // Enough for the share to mean something: at 10 %, 200 requests miss the band below once in many thousand runs.
  await eventually(5_000, async () => (load.report(liveAtMs).sent >= 200 ? true : null));
  const share = shareOfCanary(load.report(liveAtMs).byVersion);

  const back = await operator.rollback(before, { message: "the canary was only a demonstration", waitMs: 10_000 });
  // Requests that were under way see their version to the end.
  await pause(300);
  const backAtMs = performance.now();
  await pause(700);
  const after = load.report(backAtMs);
  const { sent, failed, firstFailure } = load.report(startedAtMs);
  const samePids = pids === fleet.members.map(({ sidecar }) => sidecar.pid).join();

  return {
    ok:
      failed === 0 &&
      byHeader === chosen.length &&
      share > 0.02 &&
      share < 0.25 &&
      isEverywhere(published) &&
      isEverywhere(back) &&
      (after.byVersion["v2"] ?? 0) === 0 &&
      after.sent > 0 &&
      samePids,
    evidence: [
      `version ${published.version} ${spread(published)}; no sidecar restarted${samePids ? "" : " (not true: a pid changed)"}`,
      `x-canary: always → v2 in ${byHeader} of ${chosen.length}; of the rest ${(share * 100).toFixed(0)} % went to v2 (10 % wanted)`,
      `rollback to ${before} is version ${back.version}, ${spread(back)}; ${after.byVersion["v2"] ?? 0} of ${after.sent} requests to v2 after it`,
      `${sent} requests sent meanwhile, ${failed} failed${failed > 0 ? `, first: ${firstFailure}` : ""}`,
    ],
  };
}

function shareOfCanary(byVersion: Readonly<Record<string, number>>): number {
  const canary = byVersion["v2"] ?? 0;
  return canary / Math.max(1, canary + (byVersion["v1"] ?? 0));
}

function isEverywhere({ applied }: Published): boolean {
  return applied !== undefined && applied.of > 0 && applied.sidecars === applied.of;
}

function spread({ applied }: Published): string {
  if (applied === undefined) return "(nobody reported it)";
  return `live in ${ms(applied.maxMs)} on ${applied.sidecars} of ${applied.of} sidecars (median ${ms(applied.p50Ms)})`;
}
