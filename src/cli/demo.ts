/** `fetchmesh demo`: the main job on real services, with checks; on a terminal it then goes on until Ctrl-C. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describeError, MeshError } from "../errors.ts";
import { ControlClient } from "./control-client.ts";
import { controlAccess } from "./context.ts";
import { everyHopEncrypted } from "./demo/check-hops.ts";
import { canaryAndBack } from "./demo/check-canary.ts";
import { toldByOthers } from "./demo/check-fleet-breaker.ts";
import { killedUnderLoad } from "./demo/check-kill.ts";
import { strangersRefused } from "./demo/check-strangers.ts";
import { typoRefused } from "./demo/check-typo.ts";
import { type Check, type CheckResult, ms, pause, type Stage } from "./demo/check.ts";
import { Fleet } from "./demo/fleet.ts";
import { LiveTable } from "./demo/live-table.ts";
import { Load } from "./demo/load.ts";
import { availableRuntimes, examples, findProgram, type RuntimeName, scriptCommand } from "./demo/programs.ts";
import type { Output } from "./output.ts";
import { StopRequest } from "./serve.ts";
import { Settings } from "./settings.ts";
import type { Invocation } from "./verbs.ts";

const checks: readonly Check[] = [
  everyHopEncrypted,
  strangersRefused,
  killedUnderLoad,
  canaryAndBack,
  toldByOthers,
  typoRefused,
];

/** Requests per second: steady enough to notice a lost one at once, little enough for a laptop with everything on it. */
const rate = 120;

export async function demo({ settings, output }: Invocation): Promise<number> {
  const startedAtMs = performance.now();
  const stop = new StopRequest();
  const say = (text: string): Promise<void> => (output.json ? output.message(text) : output.text(text));
  const fleet = new Fleet({ store: settings.need("store"), runtimeOf: runtimeChoice(settings.get("runtime")) });
  let load: Load | null = null;
  try {
    await say(`starting a control plane, three services and their sidecars (store: ${settings.need("store")})`);
    const started = await stop.race(startFleet(fleet));
    if (started === null) return 0;
    const { stage, control } = started;
    load = stage.load;
    await say(
      `${fleet.members.length} sidecars on ${runtimesOf(fleet)}; control plane ${control}; ${rate} requests per second; ready after ${ms(performance.now() - startedAtMs)}\n`,
    );
    const results = await stop.race(runChecks(stage, output));
    if (results === null) return 0;
    const isWell = results.every(({ ok }) => ok);
    if (output.json)
      await output.value({ ok: isWell, tookMs: Math.round(performance.now() - startedAtMs), checks: results });
    else
      await output.text(
        `\n${results.filter(({ ok }) => ok).length} of ${results.length} checks passed in ${((performance.now() - startedAtMs) / 1_000).toFixed(1)} s`,
      );
    const staysOn = output.isTerminal && settings.get("once") !== true && !output.json;
    if (staysOn) await watch(stage, stop, output);
    return isWell ? 0 : 1;
  } finally {
    await say(output.isTerminal ? "\ndraining" : "draining");
    await load?.stop();
    await fleet.stop();
  }
}

interface Started {
  readonly stage: Stage;
  readonly control: string;
}

async function startFleet(fleet: Fleet): Promise<Started> {
  const control = await fleet.start();
  const orders = scriptCommand(join(examples, "orders/server.js"), ["node", "bun", "deno"]);
  const web = scriptCommand(join(examples, "web/server.ts"), ["bun", "deno", "node"]);
  const python = findProgram("python3");
  const inventory =
    python === null
      ? scriptCommand(join(examples, "inventory/server.js"), ["deno", "node", "bun"])
      : [python, join(examples, "inventory/server.py")];
  // One after the other would take as long as all runtimes need to start; at once, as long as the slowest.
  await Promise.all([
    fleet.add({ service: "web", instance: "web-1", command: web }),
    fleet.add({ service: "orders", instance: "orders-1", command: orders }),
    fleet.add({ service: "web", instance: "web-2", command: web }),
    fleet.add({ service: "orders", instance: "orders-2", command: orders }),
    fleet.add({ service: "inventory", instance: "inventory-1", command: inventory }),
    fleet.add({
      service: "orders-canary",
      instance: "orders-canary-1",
      command: orders,
      environment: { VERSION: "v2" },
    }),
    // Calls nobody until the check of the fleet breaker: it has nothing to learn from but the others.
    fleet.add({ service: "reports", instance: "reports-1" }),
  ]);
  const operator = new ControlClient(controlAccess(new Settings(new Map([["dir", fleet.dir]]), new Set())));
  const source = { file: "mesh.yaml", text: readFileSync(join(examples, "mesh.yaml"), "utf8") };
  await operator.apply([source], { message: "timeouts, retries, breakers, who may call whom", waitMs: 10_000 });
  const load = new Load(
    fleet.of("web").map(({ app }) => app),
    rate,
  );
  load.start();
  return { stage: { fleet, load, operator }, control };
}

interface Told extends CheckResult {
  readonly name: string;
  readonly tookMs: number;
}

async function runChecks(stage: Stage, output: Output): Promise<readonly Told[]> {
  const { paint } = output;
  const results: Told[] = [];
  // A moment of load before anything is looked at.
  await pause(500);
  for (const [index, { name, run }] of checks.entries()) {
    const startedAtMs = performance.now();
    const result = await run(stage).catch((error: unknown): CheckResult => ({
      ok: false,
      evidence: [`it could not be carried out: ${describeError(error)}`],
    }));
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

/** Draws the table each second until a stop is requested. */
async function watch({ fleet, load }: Stage, stop: StopRequest, output: Output): Promise<void> {
  const [web] = fleet.of("web");
  const [orders] = fleet.of("orders");
  const table = new LiveTable(fleet, load, output.paint);
  const tryThis = [
    `try: curl http://${web!.app}/                                   the shop, through the whole mesh`,
    `     curl -x http://${web!.facts.outbound} http://orders/orders/1      what web's sidecar makes of a call`,
    `     curl -X POST http://${orders!.app}/-/sick                    make an orders instance sick (…/-/well heals it)`,
    `     curl http://${web!.facts.admin}/metrics                    what a sidecar counts; also /endpoints, /config, /certs`,
    `     npx fetchmesh status --dir ${fleet.dir}`,
    "Ctrl-C drains everything and removes it",
  ].join("\n");
  while (!stop.isRequested) {
    // Home, then clear what is below: no flicker, and nothing of a longer row remains.
    process.stdout.write(`\u001b[H\u001b[2J${await table.draw()}\n\n${tryThis}\n`);
    await stop.race(pause(1_000));
  }
}

/** Every sidecar on the runtime that was asked for; else Bun and Deno in turn, or whatever there is. */
function runtimeChoice(wanted: RuntimeName | undefined): (index: number) => RuntimeName {
  const available = availableRuntimes();
  if (wanted !== undefined) {
    if (available.includes(wanted)) return () => wanted;
    throw new MeshError("ERR_OPTION_INVALID", `There is no ${wanted} on this machine`, {
      advice: `use --runtime ${available.join(" or ")}`,
    });
  }
  const mix = available.filter((name) => name !== "node");
  const choices = mix.length > 0 ? mix : available;
  if (choices.length === 0) throw new MeshError("ERR_OPTION_INVALID", "There is no Bun, Deno or Node on this machine");
  return (index) => choices[index % choices.length]!;
}

function runtimesOf(fleet: Fleet): string {
  return [...new Set(fleet.members.map(({ facts }) => facts.runtime))].sort().join(" and ");
}
