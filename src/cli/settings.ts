/** Where a setting comes from: the flag, else its environment variable, else the file of `--config`, else the default. */
import { environmentName, flags } from "./options.ts";
import type { FlagName, FlagValues } from "./options.ts";
import { UsageError } from "./usage-error.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What was typed: each flag's texts in order; a switch counts as "". */
export type TypedFlags = ReadonlyMap<FlagName, readonly string[]>;

export interface SettingsRequest {
  /** The flags that this verb has. */
  readonly names: readonly FlagName[];
  readonly typed: TypedFlags;
  readonly environment: Environment;
  /** Read only if there is one: `yaml` costs start-up time. */
  readonly readFile: (file: string) => Promise<ReadonlyMap<FlagName, { texts: readonly string[]; place: string }>>;
  /** Defaults of this verb, as typed; null: none here. */
  readonly fallbacks: Readonly<Partial<Record<FlagName, string | null>>>;
  readonly required: readonly FlagName[];
}

/**
 * A verb's settings, resolved.
 *
 * @throws {UsageError} naming where the bad text came from and what was expected
 */
export class Settings {
  readonly #values: ReadonlyMap<FlagName, unknown>;
  readonly #given: ReadonlySet<FlagName>;

  constructor(values: ReadonlyMap<FlagName, unknown>, given: ReadonlySet<FlagName>) {
    this.#values = values;
    this.#given = given;
  }

  get<Name extends FlagName>(name: Name): FlagValues[Name] | undefined {
    return this.#values.get(name) as FlagValues[Name] | undefined;
  }

  /** For flags with a default, and for those the verb requires. */
  need<Name extends FlagName>(name: Name): FlagValues[Name] {
    const value = this.get(name);
    if (value === undefined) throw new UsageError(missing(name));
    return value;
  }

  /** Somebody set it; it is not only a default. */
  isGiven(name: FlagName): boolean {
    return this.#given.has(name);
  }
}

export async function resolveSettings(request: SettingsRequest): Promise<Settings> {
  const { names, typed, environment, fallbacks } = request;
  const configFile = typed.get("config")?.at(-1) ?? environment[environmentName("config")];
  const file = configFile === undefined ? null : await request.readFile(configFile);
  const values = new Map<FlagName, unknown>();
  const given = new Set<FlagName>();

  for (const name of names) {
    const fromTyping = typed.get(name);
    const variable = environmentName(name);
    const fromEnvironment = environment[variable];
    const fromFile = file?.get(name);
    const fallback = fallbacks[name] === undefined ? flags[name].fallback : fallbacks[name];
    if (fromTyping !== undefined) set(name, fromTyping, `--${name}`, true);
    else if (fromEnvironment !== undefined && (fromEnvironment !== "" || flags[name].placeholder === undefined)) {
      set(name, isList(name) ? fromEnvironment.split(",").map((one) => one.trim()) : [fromEnvironment], variable, true);
    } else if (fromFile !== undefined) set(name, fromFile.texts, fromFile.place, true);
    else if (fallback !== undefined && fallback !== null) set(name, [fallback], `default of --${name}`, false);
    else if (isList(name)) values.set(name, []);
  }
  const absent = request.required.filter((name) => !values.has(name));
  if (absent.length > 0) throw new UsageError(absent.map(missing).join("\n"));
  return new Settings(values, given);

  function set(name: FlagName, texts: readonly string[], place: string, isGiven: boolean): void {
    const read = texts.map((text) => readText(name, text, place));
    values.set(name, isList(name) ? read : read.at(-1));
    if (isGiven) given.add(name);
  }
}

function readText(name: FlagName, text: string, place: string): unknown {
  const { kind, isSecret } = flags[name];
  const value = kind.read(text);
  if (value === undefined) {
    throw new UsageError(`cannot use ${place}${isSecret ? "" : `: "${text}"`}: expected ${kind.expected}`);
  }
  return value;
}

function isList(name: FlagName): boolean {
  return flags[name].isRepeatable === true;
}

function missing(name: FlagName): string {
  return `--${name} is missing (or ${environmentName(name)}, or "${name}:" in the config file): expected ${flags[name].kind.expected}`;
}
