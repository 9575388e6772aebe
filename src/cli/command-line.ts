/** The command line, taken apart by commander: which verb, which flags as typed, which arguments. Values are read later. */
import { Command, CommanderError, Option } from "commander";
import { commonFlags, flags } from "./options.ts";
import type { FlagName } from "./options.ts";
import type { TypedFlags } from "./settings.ts";
import { UsageError } from "./usage-error.ts";
import { verbs } from "./verbs.ts";
import type { Verb } from "./verbs.ts";

export interface CommandLine {
  readonly verb: Verb;
  readonly typed: TypedFlags;
  readonly args: readonly string[];
  readonly rest: readonly string[];
}

/**
 * Null: help was asked for and printed.
 *
 * @throws {UsageError} with a suggestion where something is nearly right
 */
export function readCommandLine(argv: readonly string[], print: (text: string) => void): CommandLine | null {
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) return readCommandLine(["version"], print);
  // What follows "--" belongs to the command of `run`, whatever it looks like.
  const end = argv.indexOf("--");
  const own = end < 0 ? argv : argv.slice(0, end);
  const rest = end < 0 ? [] : argv.slice(end + 1);

  let found: CommandLine | null = null;
  const typed = new Map<FlagName, string[]>();
  const program = new Command("fetchmesh")
    .description("A service mesh whose every hop is a fetch.")
    .usage("VERB [flags]")
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => {} })
    .configureHelp({ sortSubcommands: false, showGlobalOptions: true })
    .helpCommand("help [verb]", "what a verb does and takes")
    .addHelpText(
      "after",
      "\nEvery flag has an environment variable (--cert-ttl: FETCHMESH_CERT_TTL) and a key in --config FILE.\nExit codes: 0 done, 1 failed or refused, 2 not understood.",
    );
  program.enablePositionalOptions();
  // Both on the program and on each verb: understood before the verb and after it.
  for (const name of commonFlags) addFlag(program, name, typed);

  for (const verb of verbs) {
    const command = program.command(verb.name).description(verb.summary).helpGroup(`${verb.group}:`);
    command.allowExcessArguments(false);
    // Without "--" too, what follows the first word of the command is the command's.
    if (verb.name === "run") command.passThroughOptions();
    for (const argument of verb.args) command.argument(argument);
    for (const name of verb.flags) addFlag(command, name, typed, verb);
    for (const name of commonFlags) addFlag(command, name, typed, verb, true);
    const examples = verb.examples?.map((line) => `  ${line}`).join("\n");
    if (examples !== undefined) command.addHelpText("after", `\nExamples:\n${examples}`);
    command.action(() => {
      found = { verb, typed, args: command.args, rest };
    });
  }

  if (own.length === 0) {
    throw new UsageError(`which verb?\n\n${program.helpInformation()}`);
  }
  try {
    program.parse(own, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || error.code === "commander.help") return null;
    throw new UsageError(error.message.replace(/^error: /, ""));
  }
  return found;
}

function addFlag(command: Command, name: FlagName, typed: Map<FlagName, string[]>, verb?: Verb, hidden = false): void {
  const { short, placeholder, help, fallback } = flags[name];
  const usual = verb?.fallbacks?.[name] === undefined ? fallback : verb.fallbacks[name];
  const note = verb?.required?.includes(name) === true ? " (required)" : usual ? ` (default: ${usual})` : "";
  const spelling = `${short === undefined ? "" : `-${short}, `}--${name}${placeholder === undefined ? "" : ` <${placeholder}>`}`;
  const option = new Option(spelling, help + note);
  if (hidden) option.hideHelp();
  command.addOption(option);
  // Texts are kept as typed: the environment and the file are read the same way, in settings.ts.
  command.on(`option:${option.name()}`, (text: string | undefined) => {
    const texts = typed.get(name);
    if (texts === undefined) typed.set(name, [text ?? ""]);
    else texts.push(text ?? "");
  });
}
