/** What a terminal shows after the checks, until somebody has seen enough. */
import process from "node:process";
import type { Output } from "../output.ts";
import type { StopRequest } from "../serve.ts";
import { visibleLength } from "../table.ts";
import { pause, type Stage } from "./check.ts";
import { LiveTable } from "./live-table.ts";

/** Draws the table each second until a stop is requested. */
export async function watch({ fleet, load }: Stage, stop: StopRequest, output: Output): Promise<void> {
  const [web] = fleet.of("web");
  const [orders] = fleet.of("orders");
  const table = new LiveTable(fleet, load, output.paint);
  const tries = [
    [`curl http://${web!.app}/`, "the shop, through the whole mesh"],
    [`curl -x http://${web!.facts.outbound} http://orders/orders/1`, "what web's sidecar makes of a call"],
    [`curl -X POST http://${orders!.app}/-/sick`, "makes an orders instance sick; …/-/well heals it"],
    [`curl http://${web!.facts.admin}/metrics`, "what a sidecar counts; also /endpoints, /config, /certs"],
    [`npx fetchmesh status --dir ${fleet.dir}`, "the mesh as an operator sees it; also get, history, breaker …"],
  ] as const;
  const width = Math.max(...tries.map(([command]) => command.length));
  const hints = tries.map(([command, what]) => `  ${command.padEnd(width)}   ${output.paint.dim(what)}`);
  const footer = ["try:", ...hints, "Ctrl-C drains everything and removes it"].join("\n");
  let rowsAbove = 0;
  while (!stop.isRequested) {
    const frame = `\n${await table.draw()}\n\n${footer}\n`;
    // Up to where the last frame began, and clear from there: what the checks said stays on the screen.
    process.stdout.write(`${rowsAbove === 0 ? "" : `\u001b[${rowsAbove}A\u001b[J`}${frame}`);
    rowsAbove = terminalRows(frame);
    await stop.race(pause(1_000));
  }
}

/** Rows that `text` takes on this terminal, which wraps what is too long. */
function terminalRows(text: string): number {
  const columns = process.stdout.columns || 80;
  const lines = text.split("\n").slice(0, -1);
  return lines.reduce((rows, line) => rows + Math.max(1, Math.ceil(visibleLength(line) / columns)), 0);
}
