/** Multi-document YAML and JSON → validated resources that know where they were written. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Document,
  type Node,
  type ParsedNode,
} from "yaml";
import { checkResource } from "./check-resource.ts";
import { placed, type Locate, type PathStep, type Place, type Problem } from "./problems.ts";
import { resourceKey } from "./resource-key.ts";
import type { Resource } from "./resources.ts";

/** Bounds of what is read at all; the store refuses more as well. */
export const maxSourceBytes = 1_048_576;
export const maxDepth = 64;
/** Beyond this nobody reads on, and a hostile file must not make us write a report of its own size. */
const maxProblems = 200;
/** One slip in the layout makes the parser complain about everything after it. */
const maxSyntaxErrors = 10;

export interface DocumentSource {
  /** For messages: a path, or "-". */
  readonly file: string;
  readonly text: string;
}

export interface WrittenResource {
  readonly resource: Resource;
  readonly locate: Locate;
}

export interface ReadDocuments {
  readonly resources: readonly WrittenResource[];
  readonly problems: readonly Problem[];
}

/** Reads every document of every source and reports every problem, not the first. Never throws on any input. */
export function readDocuments(sources: readonly DocumentSource[]): ReadDocuments {
  const resources: WrittenResource[] = [];
  const problems: Problem[] = [];
  const seen = new Map<string, Place>();
  for (const source of sources) {
    for (const written of readSource(source, problems)) {
      const key = resourceKey(written.resource);
      const first = seen.get(key);
      const place = written.locate(["metadata", "name"]);
      if (first === undefined) {
        seen.set(key, place);
        resources.push(written);
      } else {
        const message = `${key} is written twice, first at ${first.file}:${first.line}`;
        problems.push({ code: "FM0201", severity: "error", ...place, message, suggestion: "keep one of them" });
      }
    }
  }
  const order = new Map(sources.map(({ file }, index) => [file, index]));
  problems.sort(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  );
  return { resources, problems: problems.slice(0, maxProblems) };
}

function readSource({ file, text }: DocumentSource, problems: Problem[]): WrittenResource[] {
  const fail = (
    code: Problem["code"],
    line: number,
    column: number,
    message: string,
    suggestion: string | null = null,
  ): void => {
    problems.push({ code, severity: "error", file, line, column, message, suggestion });
  };
  // UTF-8 is at most three bytes per UTF-16 unit: the exact count is only needed in between.
  if (
    text.length > maxSourceBytes ||
    (text.length * 3 > maxSourceBytes && new TextEncoder().encode(text).length > maxSourceBytes)
  ) {
    fail("FM0003", 1, 1, `larger than ${maxSourceBytes} bytes`, "split it");
    return [];
  }
  const lines = new LineCounter();
  const plainJson = isJson(text);
  const found: WrittenResource[] = [];
  let isEmpty = true;
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      version: "1.2",
      uniqueKeys: false,
      stringKeys: true,
      logLevel: "silent",
    });
    for (const document of Array.isArray(documents) ? (documents as Document.Parsed[]) : []) {
      let isBroken = false;
      // Tabs and the like: YAML's rules about layout do not bind a text that is JSON.
      if (!plainJson) {
        for (const error of [...document.errors, ...document.warnings].slice(0, maxSyntaxErrors)) {
          const at = lines.linePos(error.pos[0]);
          isBroken = true;
          // The parser recurses per level and reports its own overflow as an error of the text.
          const tooDeep = /call stack|stack overflow/i.test(error.message);
          fail(
            tooDeep ? "FM0004" : "FM0001",
            at.line,
            at.col,
            tooDeep ? "nested too deeply to read" : sentence(error.message),
          );
          if (tooDeep) return [];
        }
      }
      if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
        if (isBroken) isEmpty = false;
        continue;
      }
      isEmpty = false;
      if (isBroken) continue;
      const locate = locator(file, document, lines);
      const defect = inspect(document.contents, 0);
      if (defect !== null) {
        const at = lines.linePos(defect.offset);
        fail(defect.code, at.line, at.col, defect.message, defect.code === "FM0002" ? "keep one of them" : null);
        continue;
      }
      for (const [value, prefix] of members(document.toJS({ maxAliasCount: 100 }))) {
        const here: Locate = prefix.length === 0 ? locate : (path, atKey) => locate([...prefix, ...path], atKey);
        const checked = checkResource(value);
        if ("resource" in checked) found.push({ resource: checked.resource, locate: here });
        else for (const issue of checked.issues) problems.push(placed(issue, here));
      }
    }
  } catch (error) {
    // The parser recurses per level and counts aliases: what is too much for it ends here, not the process.
    isEmpty = false;
    const tooMuch = error instanceof RangeError || error instanceof ReferenceError;
    fail(
      tooMuch ? "FM0004" : "FM0001",
      1,
      1,
      tooMuch ? "nested or aliased too deeply to read" : sentence(String(error)),
    );
  }
  if (isEmpty) fail("FM0005", 1, 1, "holds no document");
  return found;
}

/** `kubectl get -o yaml` wraps several documents into a List; a JSON file may hold an array of them. */
function members(value: unknown): (readonly [value: unknown, prefix: readonly PathStep[]])[] {
  if (Array.isArray(value)) return value.map((item, index) => [item, [index]] as const);
  const list = value as { kind?: unknown; items?: unknown } | null;
  if (list?.kind === "List" && Array.isArray(list.items))
    return list.items.map((item, index) => [item, ["items", index]] as const);
  return [[value, []]];
}

function locator(file: string, document: Document.Parsed, lines: LineCounter): Locate {
  return (path, atKey) => {
    let node: Node | null = document.contents;
    let offset = node?.range?.[0] ?? 0;
    for (const [index, step] of path.entries()) {
      if (isAlias(node)) node = node.resolve(document) ?? null;
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => (isScalar(key) ? String(key.value) : key) === String(step));
        if (pair === undefined) break;
        const key = pair.key as ParsedNode | null;
        node = pair.value as Node | null;
        const isLast = index === path.length - 1;
        offset = (atKey && isLast ? key?.range?.[0] : (node?.range?.[0] ?? key?.range?.[0])) ?? offset;
      } else if (isSeq(node) && typeof step === "number") {
        node = (node.items[step] as Node | undefined) ?? null;
        offset = node?.range?.[0] ?? offset;
      } else break;
    }
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col };
  };
}

interface Defect {
  readonly code: "FM0002" | "FM0004";
  readonly offset: number;
  readonly message: string;
}

/**
 * The first key that is written twice, or the first value that lies too deep. The parser's own `uniqueKeys` compares every
 * key with every other: a minute of CPU for one file of 600 KB.
 */
function inspect(node: unknown, depth: number): Defect | null {
  if (depth > maxDepth)
    return {
      code: "FM0004",
      offset: (node as Node | null)?.range?.[0] ?? 0,
      message: `nested deeper than ${maxDepth} levels`,
    };
  if (isMap(node)) {
    const keys = new Set<unknown>();
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? key.value : key;
      if (keys.has(name))
        return {
          code: "FM0002",
          offset: (key as Node | null)?.range?.[0] ?? 0,
          message: `key ${String(name)} is written twice`,
        };
      keys.add(name);
      const defect = inspect(value, depth + 1);
      if (defect !== null) return defect;
    }
  } else if (isSeq(node)) {
    for (const item of node.items) {
      const defect = inspect(item, depth + 1);
      if (defect !== null) return defect;
    }
  }
  return null;
}

function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const sentence = (message: string): string => message.split("\n", 1)[0]!.slice(0, 200);
