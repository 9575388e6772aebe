/** The command line `fetchmesh`. It only dispatches: each verb is one file beside this one. */
import process from "node:process";
import { readCommandLine } from "./command-line.ts";
import { describeFailure, failureLogLine } from "./failure.ts";
import { commonFlags } from "./options.ts";
import { Output } from "./output.ts";
import { resolveSettings } from "./settings.ts";

async function main(words: readonly string[]): Promise<number> {
  const coloursAllowed = process.env["NO_COLOR"] === undefined || process.env["NO_COLOR"] === "";
  let output = new Output({ json: false, colours: coloursAllowed });
  let isServer = false;
  try {
    const help: string[] = [];
    const line = readCommandLine(words, (text) => help.push(text));
    if (line === null) {
      await output.text(help.join("").trimEnd());
      return 0;
    }
    const { verb, typed, args, rest } = line;
    const settings = await resolveSettings({
      names: [...verb.flags, ...commonFlags],
      typed,
      environment: process.env,
      readFile: async (file) => (await import("./config-file.ts")).readConfigFile(file),
      fallbacks: verb.fallbacks ?? {},
      required: verb.required ?? [],
    });
    const colours = coloursAllowed && settings.get("no-color") !== true;
    output = new Output({ json: settings.get("output") === "json", colours });
    isServer = verb.isServer === true;
    const run = await verb.load();
    return await run({ settings, args, rest, output });
  } catch (error) {
    const { text, exitCode } = describeFailure(error, output.errorPaint);
    const logLine = isServer && !process.stderr.isTTY ? failureLogLine(error) : null;
    await output.message(logLine ?? text);
    return exitCode;
  } finally {
    if (isServer) await (await import("./serve.ts")).logWritten();
  }
}

// Kept-alive connections would hold the process for another minute.
process.exit(await main(process.argv.slice(2)));
