/** Brings up what the checks look at: the services, their policies, and a load on them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MeshError } from "../../errors.ts";
import { controlAccess } from "../context.ts";
import { ControlClient } from "../control-client.ts";
import { Settings } from "../settings.ts";
import type { Stage } from "./check.ts";
import type { Fleet } from "./fleet.ts";
import { Load, order } from "./load.ts";
import { availableRuntimes, examples, findProgram, type RuntimeName, scriptCommand } from "./programs.ts";
import { eventually } from "./scrape.ts";

/** Requests per second: steady enough to notice a lost one at once, little enough for a laptop with everything on it. */
const rate = 80;

export interface Started {
  readonly stage: Stage;
  readonly control: string;
  /** `performance.now()` when a first request had gone through every hop. */
  readonly firstRequestAtMs: number;
  readonly rate: number;
}

export async function startStage(fleet: Fleet): Promise<Started> {
  const control = await fleet.start();
  const orders = scriptCommand(join(examples, "orders/server.js"), ["node", "bun", "deno"]);
  const web = scriptCommand(join(examples, "web/server.ts"), ["bun", "deno", "node"]);
  // One instance of each first: the mesh works as soon as they are there.
  await Promise.all([
    fleet.add({ service: "web", instance: "web-1", command: web }),
    fleet.add({ service: "orders", instance: "orders-1", command: orders }),
    fleet.add({ service: "inventory", instance: "inventory-1", command: inventoryCommand() }),
  ]);
  const firstRequestAtMs = await firstRequest(fleet);
  await Promise.all([
    fleet.add({ service: "orders", instance: "orders-2", command: orders }),
    fleet.add({ service: "web", instance: "web-2", command: web }),
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
  return { stage: { fleet, load, operator }, control, firstRequestAtMs, rate };
}

function inventoryCommand(): readonly string[] {
  const python = findProgram("python3");
  if (python !== null) return [python, join(examples, "inventory/server.py")];
  return scriptCommand(join(examples, "inventory/server.js"), ["deno", "node", "bun"]);
}

async function firstRequest(fleet: Fleet): Promise<number> {
  const [web] = fleet.of("web");
  let failure = "";
  const answered = await eventually(10_000, async () => {
    const sample = await order(web!.app);
    failure = sample.failure;
    return sample.isOk ? sample : null;
  });
  if (answered !== null) return answered.found.endedAtMs;
  throw new MeshError("ERR_INTERNAL", `No request came through the mesh within 10 s: ${failure}`);
}

/** Every sidecar on the runtime that was asked for; else Bun and Deno in turn, or whatever there is. */
export function runtimeChoice(wanted: RuntimeName | undefined): (index: number) => RuntimeName {
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
