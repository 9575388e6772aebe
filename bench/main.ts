/** `scripts/bench`: CPU per request, throughput, latency and memory of the mTLS chain of two sidecars, beside nginx's. */
import { readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { tempDir } from "../tests/support/ports.ts";
import { writeCertificates } from "./certificates.ts";
import { benchBody, keepRate, saturate, wrkVersion, type Load } from "./load.ts";
import { describeMachine } from "./machine.ts";
import { parseBenchOptions, usage, type BenchOptions } from "./options.ts";
import { residentMegabytes } from "./processes.ts";
import { caseTable, markdown, memoryTable, plainTable, type Case, type Memory, type Run } from "./report.ts";
import { runRounds } from "./rounds.ts";
import { summarize } from "./summary.ts";
import { startApp } from "./systems/app.ts";
import { direct } from "./systems/direct.ts";
import { startMesh } from "./systems/fetchmesh.ts";
import { startForwarders } from "./systems/forwarder.ts";
import { nginxVersion, startNginxPair } from "./systems/nginx.ts";
import type { Runtime, Setting, System } from "./system.ts";

const resultsFile = join(import.meta.dirname, "RESULTS.md");
const runtimes: readonly Runtime[] = ["bun", "deno", "node"];
const maxWarmUpMs = 30_000;
const openLoop = { rate: 1000, connections: 16 };

async function main(): Promise<void> {
  const options = readOptions();
  const folder = tempDir("fetchmesh-bench");
  const stops: (() => Promise<void>)[] = [async () => folder.remove()];
  let stopping: Promise<void> | null = null;
  const stopAll = (): Promise<void> => (stopping ??= stopInTurn());
  const stopInTurn = async (): Promise<void> => {
    for (const stop of stops.reverse()) await stop();
  };
  // A run takes minutes: whoever ends it early, or closes the pipe it writes to, must not be left with its servers.
  const giveUp = (): void => void stopAll().finally(() => process.exit(1));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, giveUp);
  process.stdout.on("error", giveUp);
  process.stderr.on("error", giveUp);
  try {
    await run(options, folder.path, (stop) => stops.push(stop));
  } finally {
    await stopAll();
  }
}

function readOptions(): BenchOptions {
  try {
    return parseBenchOptions(process.argv.slice(2));
  } catch (error) {
    say(`${(error as Error).message}\n${usage}`);
    process.exit(2);
  }
}

async function run(options: BenchOptions, folder: string, later: (stop: () => Promise<void>) => void): Promise<void> {
  if (wrkVersion() === undefined)
    throw new Error("wrk makes the load and is not here: install it (Debian: apt-get install wrk)");
  const notes =
    nginxVersion() === undefined ? ["nginx was not here: it is skipped, and nothing is relative to it."] : [];
  notes.forEach(say);
  // Now, not when it is over: this is the state that is measured.
  const machine = describeMachine();
  const app = await startApp(folder, benchBody);
  later(() => app.stop());
  const setting: Setting = { folder, appPort: app.port, certificates: await writeCertificates(folder) };

  const systems: System[] = [];
  for (const [id, start] of starters(setting, options)) {
    if (options.only !== undefined && !options.only.includes(id)) continue;
    say(`starting ${id}`);
    const system = await start();
    later(() => system.stop());
    systems.push(system);
  }

  await sleep(2_000);
  const idle = systems.map(({ pids }) => residentMegabytes(pids));
  for (const system of systems) {
    say(`warming up ${system.title}`);
    await warmUp(folder, system.port, options);
  }

  const titles = Object.fromEntries(systems.map(({ id, title }) => [id, title]));
  const cases: Case[] = [];
  for (const one of benchCases(options, folder).filter(({ id }) => options.cases.includes(id))) {
    const samples = await runRounds(systems, {
      rounds: options.rounds,
      run: one.run,
      tell: ({ round, system, ...sample }) => {
        const failed = sample.failures > 0 ? `, ${sample.failures} FAILED: does not count` : "";
        say(
          `${one.id} ${round + 1}/${options.rounds} ${system}: ${sample.cpuUs.toFixed(1)} µs, ${Math.round(sample.requests / sample.seconds)}/s${failed}`,
        );
      },
    });
    const reference = "nginx";
    const done = {
      id: one.id,
      title: one.title,
      reference,
      samples,
      summaries: summarize(
        samples,
        systems.map(({ id }) => id),
        reference,
      ),
    };
    cases.push(done);
    print(`\n${one.title}\n${plainTable(caseTable(done, { titles }))}\n`);
  }

  const memory: Memory[] = systems.flatMap(({ id, pids }, n) =>
    pids.length === 0 ? [] : [{ system: id, idle: idle[n]!, afterLoad: residentMegabytes(pids) }],
  );
  print(`${plainTable(memoryTable({ titles, memory }))}\n`);
  const result: Run = {
    date: new Date().toISOString().slice(0, 10),
    command: options.command,
    machine,
    tools: [`wrk ${wrkVersion()}`, `application: ${app.title}`],
    titles,
    cases,
    memory,
    configuration: Object.assign({}, ...systems.map(({ configuration }) => configuration)) as Record<string, string>,
    notes: [...notes, `Load average at the end, this bench included: ${loadavg()[0]!.toFixed(1)}.`],
  };
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, `${JSON.stringify(result, null, 2)}\n`);
  if (options.record) record(result);
  else for (const [name, text] of Object.entries(result.configuration)) print(`${name}:\n${text}`);
}

/** Compilers of JavaScript have done most of their work after some ten thousand requests: until then rounds measure them. */
async function warmUp(folder: string, port: number, options: BenchOptions): Promise<void> {
  const { connections, warmUpRequests } = options;
  const endsAtMs = performance.now() + maxWarmUpMs;
  for (let requests = 0; requests < warmUpRequests && performance.now() < endsAtMs;) {
    for (const method of ["GET", "POST"] as const) {
      requests += (await saturate(folder, port, { method, connections, seconds: 2 })).requests;
    }
  }
}

function starters(setting: Setting, { store }: BenchOptions): readonly (readonly [string, () => Promise<System>])[] {
  return [
    ["direct", async () => direct(setting)],
    ...(nginxVersion() === undefined ? [] : [["nginx", () => startNginxPair(setting)] as const]),
    ...runtimes.map((runtime) => [runtime, () => startMesh(runtime, setting, store)] as const),
    ...runtimes.map((runtime) => [`${runtime}-bytes`, () => startForwarders(runtime, setting)] as const),
  ];
}

function benchCases({ connections, seconds }: BenchOptions, folder: string) {
  const saturated = (method: Load["method"]) => ({
    id: method.toLowerCase(),
    title: `${method} of 130 bytes, ${connections} connections, as fast as it goes`,
    run: ({ port }: System) => saturate(folder, port, { method, connections, seconds }),
  });
  return [
    saturated("GET"),
    saturated("POST"),
    {
      id: "rate",
      title: `GET of 130 bytes at ${openLoop.rate} requests/s on ${openLoop.connections} connections, open loop`,
      run: ({ port }: System) =>
        keepRate(port, openLoop.rate, { method: "GET", connections: openLoop.connections, seconds }),
    },
  ];
}

/** Replaces the run in `RESULTS.md`; the text above the first run stays. */
function record(result: Run): void {
  const text = readFileSync(resultsFile, "utf8");
  const runs = text.search(/^## /m);
  writeFileSync(resultsFile, `${(runs < 0 ? text : text.slice(0, runs)).trimEnd()}\n\n${markdown(result)}\n`);
}

/** Progress, away from the results. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

await main();
