/**
 * Reads the JUnit reports of `bun test`, `deno test` and `node --test` into one shape. Only leaves count: a suite, or a
 * test that only holds subtests, is not a test of its own, or the three runtimes could not be compared.
 */

export interface TestCase {
  /** Suite and test names, outermost first, joined by " > ". */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** What the runtime said about a failure; empty otherwise. */
  readonly detail: string;
}

/** The leaves of a report, or `undefined` if the report is cut off: its process ended before its tests did. */
export function parseJunit(xml: string, file: string): TestCase[] | undefined {
  if (!xml.includes("</testsuites>")) return undefined;
  const suites: string[] = [];
  const cases: (TestCase & { flat: boolean })[] = [];
  // None of the three writes CDATA, and Node leaves ">" bare inside attributes: hence whole attributes, not [^>].
  const tags =
    /<testsuite\b((?:\s+[\w-]+="[^"]*")*)>|<\/testsuite>|<testcase\b((?:\s+[\w-]+="[^"]*")*)\s*(?:\/>|>([\s\S]*?)<\/testcase>)/g;
  for (const [tag, suite, attributes, body = ""] of xml.matchAll(tags)) {
    if (suite !== undefined) suites.push(attribute(suite, "name"));
    else if (tag === "</testsuite>") suites.pop();
    else if (attributes !== undefined) cases.push(toCase(attributes, body, suites, file));
  }
  return withoutParents(cases).filter((one) => !namesFile(one, file));
}

function toCase(
  attributes: string,
  body: string,
  suites: readonly string[],
  file: string,
): TestCase & { flat: boolean } {
  // Deno writes one flat suite per source file and puts the path of names into the test's own name.
  const flat = attribute(attributes, "classname").endsWith(".ts");
  const outer = flat ? [] : suites.filter((name) => !file.endsWith(name));
  const name = [...outer, attribute(attributes, "name")].join(" > ");
  if (/<(?:failure|error)\b/.test(body)) return { name, outcome: "failed", detail: failureText(body), flat };
  return { name, outcome: body.includes("<skipped") ? "skipped" : "passed", detail: "", flat };
}

function failureText(body: string): string {
  const text = unescape(body.replace(/<\/?(?:failure|error)\b(?:\s+[\w-]+="[^"]*")*\s*\/?>/g, "")).trim();
  return text === "" ? attribute(body, "message") : text;
}

/** Drops Deno's containers, except one that failed by itself (a hook, or an assertion after its last step). */
function withoutParents(cases: readonly (TestCase & { flat: boolean })[]): TestCase[] {
  const parents = new Set<string>();
  for (const { name, flat } of cases) {
    if (!flat) continue;
    for (let at = name.indexOf(" > "); at !== -1; at = name.indexOf(" > ", at + 3)) parents.add(name.slice(0, at));
  }
  return cases
    .filter(
      (one) => !parents.has(one.name) || (one.outcome === "failed" && !/^\d+ test steps? failed/.test(one.detail)),
    )
    .map(({ name, outcome, detail }) => ({ name, outcome, detail }));
}

/** Node reports a file without any test as one passed test that bears the file's name. */
function namesFile({ name, outcome }: TestCase, file: string): boolean {
  return outcome === "passed" && file.endsWith(name);
}

function attribute(text: string, name: string): string {
  return unescape(new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1] ?? "");
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function unescape(text: string): string {
  return text.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (whole, decimal, hex, named) => {
    if (decimal) return String.fromCodePoint(Number(decimal));
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    return entities[named] ?? whole;
  });
}
