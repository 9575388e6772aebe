/** The file of `--config`: flags as YAML keys. Every problem in it is told at once, each with its place. */
import { readFileSync } from "node:fs";
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { Node, Pair } from "yaml";
import type { Problem, ProblemCode } from "../control/problems.ts";
import { closest } from "../control/suggest.ts";
import { flags, isFlagName } from "./options.ts";
import type { FlagName } from "./options.ts";
import { renderProblems } from "./problems.ts";
import { UsageError } from "./usage-error.ts";

/** The texts of one key and where it is written; parsed like what is typed on the command line. */
export interface FileSetting {
  readonly texts: readonly string[];
  /** `FILE:LINE:COLUMN`, for messages. */
  readonly place: string;
}

/**
 * Reads the settings of a file. One file may serve several verbs: a key that another verb knows is no mistake.
 *
 * @throws {UsageError} with all problems, if it cannot be read, is not YAML, or has keys or values of the wrong kind
 */
export function readConfigFile(file: string): Map<FlagName, FileSetting> {
  const source = readSource(file);
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const settings = new Map<FlagName, FileSetting>();
  const problems: Problem[] = [];
  const report = (code: ProblemCode, offset: number, message: string, suggestion: string | null): void => {
    const { line, col: column } = lines.linePos(offset);
    problems.push({ code, severity: "error", file, line, column, message, suggestion });
  };

  for (const error of document.errors) report("FM0001", error.pos[0], `not valid YAML: ${error.message}`, null);
  if (problems.length === 0) {
    const root = document.contents;
    if (isMap(root)) for (const pair of root.items as Pair<Node, Node | null>[]) readPair(pair);
    else if (root !== null && !(isScalar(root) && root.value === null)) {
      report(
        "FM0103",
        root.range?.[0] ?? 0,
        "must be a mapping of flags to values, like `listen: 127.0.0.1:15010`",
        null,
      );
    }
  }
  if (problems.length > 0) throw new UsageError(renderProblems(problems, new Map([[file, source]])));
  return settings;

  function readPair({ key, value }: Pair<Node, Node | null>): void {
    const offset = key.range?.[0] ?? 0;
    const written = isScalar(key) ? String(key.value) : "";
    const name = toFlagName(written);
    if (!isFlagName(name)) {
      const meant = closest(name, Object.keys(flags));
      report("FM0101", offset, `unknown key "${written}"`, meant === null ? null : `did you mean "${meant}"?`);
      return;
    }
    const texts = textsOf(value);
    const { line, col } = lines.linePos(offset);
    if (texts === null || (texts.length > 1 && flags[name].isRepeatable !== true)) {
      const wanted = flags[name].kind.expected;
      report("FM0103", value?.range?.[0] ?? offset, `"${written}" must be one value: expected ${wanted}`, null);
    } else settings.set(name, { texts, place: `${file}:${line}:${col} "${written}"` });
  }
}

function readSource(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(
      `cannot read the config file "${file}": ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** `inboundH2` and `inbound_h2` are what people used to other files write. */
function toFlagName(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
}

/** Scalars as typed; a list for repeatable flags; a mapping `{orders: 9001}` as `orders=9001`. */
function textsOf(value: Node | null): readonly string[] | null {
  if (value === null) return [""];
  if (isScalar(value)) return [typeof value.value === "string" ? value.value : (value.source ?? String(value.value))];
  if (isSeq(value)) {
    const texts = value.items.map((item) => (isScalar(item) ? String(item.value) : null));
    return texts.includes(null) ? null : (texts as string[]);
  }
  if (isMap(value)) {
    const pairs = value.items.map(({ key, value }) =>
      isScalar(key) && isScalar(value) ? `${String(key.value)}=${String(value.value)}` : null,
    );
    return pairs.includes(null) ? null : (pairs as string[]);
  }
  return null;
}
