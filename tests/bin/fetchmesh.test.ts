import assert from "node:assert/strict";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { tempDir } from "../support/ports.ts";
import { currentRuntime, runFetchmesh, startProcess } from "../support/processes.ts";

const launcher = join(import.meta.dirname ?? "", "../../bin/fetchmesh");
const folder = tempDir();
after(() => folder.remove());

describe("bin/fetchmesh", () => {
  it("runs the command line on the runtime asked for", async () => {
    const { code, stdout, stderr } = await runFetchmesh(["version", "-o", "json"]);
    assert.equal(code, 0, stderr);
    assert.match(JSON.parse(stdout).runtime, new RegExp(`^${currentRuntime} `));
  });

  it("hands on arguments and the exit code as they are", async () => {
    const { code, stdout, stderr } = await runFetchmesh(["no such verb", "a  b"]);
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /no such verb/);
  });

  it("works through a symbolic link and from any folder, as npm installs it", async () => {
    const link = join(folder.path, "linked");
    symlinkSync(launcher, link);
    const env = { FETCHMESH_RUNTIME: currentRuntime };
    assert.equal((await startProcess(link, ["version"], { env, cwd: folder.path }).exit).code, 0);
  });

  it("does not let the application's own settings into the mesh", async () => {
    writeFileSync(join(folder.path, ".env"), "FETCHMESH_OUTPUT=json\n");
    writeFileSync(join(folder.path, "bunfig.toml"), 'preload = ["./no-such-file.ts"]\n');
    writeFileSync(join(folder.path, "deno.json"), '{ "imports": { "commander": "./no-such-file.ts" } }\n');
    const { code, stdout, stderr } = await runFetchmesh(["version"], { cwd: folder.path });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^fetchmesh /);
  });

  it("refuses a runtime that it does not know", async () => {
    const { code, stderr } = await startProcess(launcher, ["version"], { env: { FETCHMESH_RUNTIME: "perl" } }).exit;
    assert.equal(code, 2);
    assert.match(stderr, /must be bun, deno or node: current value is "perl"/);
  });
});
