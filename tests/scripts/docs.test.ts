import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { commonFlags, flags } from "../../src/cli/options.ts";
import { verbs } from "../../src/cli/verbs.ts";
import { problemTable } from "../../src/control/problems.ts";
import { errorTable } from "../../src/errors.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), "utf8");

const documents = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "SECURITY.md",
  "THREAT_MODEL.md",
  ...globSync(["docs/*.md", "examples/*/README.md"], { cwd: root }),
];
const operations = read("docs/operations.md");

describe("documentation", () => {
  for (const file of documents) {
    const text = read(file);

    it(`${file} names only files that exist`, () => {
      // A path in code quotes that begins with a folder of ours; `*` and `…` stand for several.
      const paths = [...text.matchAll(/`((?:src|tests|scripts|bench|bin|examples|docs)\/[\w./-]+)`/g)].map(
        ([, path]) => path!,
      );
      const missing = paths.filter((path) => !existsSync(join(root, path)));
      assert.deepEqual(missing, []);
    });

    it(`${file} links only to files and headings that exist`, () => {
      const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
      assert.deepEqual(
        links.filter((link) => !/^https?:/.test(link) && !isThere(file, link)),
        [],
      );
    });

    it(`${file} shows only verbs and scripts that exist`, () => {
      const unknown: string[] = [];
      for (const [, verb] of text.matchAll(/(?:\bnpx |`)fetchmesh ([a-z]+)/g))
        if (!verbs.some(({ name }) => name === verb)) unknown.push(`fetchmesh ${verb}`);
      for (const [, script] of text.matchAll(/(?:^|[\s`])\.\/(scripts\/[a-z]+)/gm))
        if (!existsSync(join(root, script!))) unknown.push(script!);
      assert.deepEqual(unknown, []);
    });
  }

  it("README.md: what bun and deno are told to run is in package.json and deno.json", () => {
    const readme = read("README.md");
    const scripts = (JSON.parse(read("package.json")) as { scripts: object }).scripts;
    const tasks = (JSON.parse(read("deno.json")) as { tasks: object }).tasks;
    for (const [, name] of readme.matchAll(/\bbun run ([a-z]+)/g))
      assert.ok(Object.hasOwn(scripts, name!), `bun run ${name}`);
    for (const [, name] of readme.matchAll(/\bdeno task ([a-z]+)/g))
      assert.ok(Object.hasOwn(tasks, name!), `deno task ${name}`);
  });

  it("docs/operations.md has every error code with its status, flag and blame", () => {
    for (const [code, { status, flag, origin, title }] of Object.entries(errorTable)) {
      const row = `| \`${code}\` | ${status} | ${flag === "" ? "" : `\`${flag}\``} | ${origin} | ${title} |`;
      assert.ok(operations.includes(row), row);
    }
  });

  it("docs/operations.md has every problem code with its severity", () => {
    for (const [code, { severity, title }] of Object.entries(problemTable)) {
      const row = `| \`${code}\` | ${severity} | ${title} |`;
      assert.ok(operations.includes(row), row);
    }
  });

  it("docs/operations.md has every verb with its flags, and every flag with its default", () => {
    for (const { name, args, flags: own, required } of verbs) {
      const usage = [name, ...args].join(" ").replaceAll("|", "\\|");
      const row = operations.split("\n").find((line) => line.startsWith(`| \`${usage}\` |`));
      assert.ok(row !== undefined, usage);
      for (const flag of own)
        assert.ok(row.includes(required?.includes(flag) === true ? `**--${flag}**` : `--${flag}`), `${name} --${flag}`);
    }
    for (const [name, { fallback = "" }] of Object.entries(flags)) {
      const row = operations.split("\n").find((line) => new RegExp(`^\\| \`--${name}[ \`]`).test(line));
      assert.ok(row?.endsWith(`| ${fallback} |`) === true, `--${name} ${fallback}`);
    }
    for (const flag of commonFlags) assert.ok(operations.includes(`\`--${flag}`), flag);
  });

  it("docs/operations.md has every metric, with its type and labels", () => {
    const declared = globSync("src/observe/*.ts", { cwd: root }).flatMap((file) =>
      [...read(file).matchAll(/\.(counter|gauge|histogram)\(\s*"(\w+)"/g)].map(([, type, name]) => ({ type, name })),
    );
    assert.ok(declared.length > 10);
    for (const { type, name } of declared)
      assert.ok(operations.includes(`| \`${name}\` | ${type} |`), `${name} ${type}`);
  });
});

function withoutCode(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```/gm, "").replaceAll(/`[^`\n]*`/g, "");
}

/** `link` as written in `file`: a file, a folder, a heading of either. */
function isThere(file: string, link: string): boolean {
  const [path = "", heading] = link.split("#");
  const target = path === "" ? file : normalize(join(dirname(file), path));
  if (!existsSync(join(root, target))) return false;
  if (heading === undefined) return true;
  return statSync(join(root, target)).isFile() && headings(read(target)).has(heading);
}

/** As the hosts of repositories make anchors: lower case, punctuation gone, spaces to hyphens. */
function headings(text: string): Set<string> {
  const found = [...text.replaceAll(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!);
  return new Set(
    found.map((title) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} -]/gu, "")
        .trim()
        .replaceAll(" ", "-"),
    ),
  );
}
