import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCommandLine } from "../../src/cli/command-line.ts";
import type { CommandLine } from "../../src/cli/command-line.ts";
import { UsageError } from "../../src/cli/usage-error.ts";
import { verbs } from "../../src/cli/verbs.ts";

function read(...words: string[]): CommandLine {
  const line = readCommandLine(words, () => {});
  assert.notEqual(line, null);
  return line!;
}

function helpOf(...words: string[]): string {
  let help = "";
  assert.equal(
    readCommandLine(words, (text) => (help += text)),
    null,
  );
  return help;
}

const refusal = (pattern: RegExp) => (error: unknown) => error instanceof UsageError && pattern.test(error.message);

describe("readCommandLine()", () => {
  it("finds verb, flags and arguments", () => {
    const line = read("get", "HTTPRoute/orders", "--version", "3", "-o", "json");
    assert.equal(line.verb.name, "get");
    assert.deepEqual(line.args, ["HTTPRoute/orders"]);
    assert.deepEqual(line.typed.get("version"), ["3"]);
    assert.deepEqual(line.typed.get("output"), ["json"]);
  });

  it("takes common flags before and after the verb, and --flag=value", () => {
    assert.deepEqual(read("--dir", "x", "status").typed.get("dir"), ["x"]);
    assert.deepEqual(read("status", "--dir=x", "--no-color").typed.get("dir"), ["x"]);
    assert.deepEqual(read("status", "--no-color").typed.get("no-color"), [""]);
  });

  it("collects a flag that is given again", () => {
    const typed = read("sidecar", "--upstream", "a=1", "--upstream", "b=2").typed;
    assert.deepEqual(typed.get("upstream"), ["a=1", "b=2"]);
  });

  it("leaves what follows -- to the command of run, whatever it looks like", () => {
    const line = read("run", "--service", "web", "--", "curl", "-o", "json", "--dir", "--", "x");
    assert.deepEqual(line.rest, ["curl", "-o", "json", "--dir", "--", "x"]);
    assert.equal(line.typed.has("output"), false);
  });

  it("takes the command of run without -- too", () => {
    assert.deepEqual(read("run", "--service", "web", "bun", "server.ts", "--port", "1").args, [
      "bun",
      "server.ts",
      "--port",
      "1",
    ]);
  });

  it("suggests the flag that was meant", () => {
    assert.throws(() => read("sidecar", "--inbond", "x"), refusal(/unknown option '--inbond'[\s\S]*--inbound/));
  });

  it("suggests the verb that was meant", () => {
    assert.throws(() => read("aply"), refusal(/unknown command 'aply'[\s\S]*apply/));
  });

  it("refuses too few and too many arguments, and a flag without its value", () => {
    assert.throws(() => read("rollback"), refusal(/version/));
    assert.throws(() => read("rollback", "1", "2"), refusal(/too many/));
    assert.throws(() => read("status", "--dir"), refusal(/--dir/));
    assert.throws(() => read(), refusal(/which verb/));
  });

  it("helps with every verb", () => {
    for (const { name, summary } of verbs) {
      assert.ok(helpOf(name, "--help").replace(/\s+/g, " ").includes(summary.replace(/\s+/g, " ")), name);
      assert.ok(helpOf("--help").includes(`  ${name} `), name);
    }
    assert.ok(helpOf("help", "apply").includes("--expect-version"));
  });

  it("understands --version alone", () => {
    assert.equal(read("--version").verb.name, "version");
  });
});
