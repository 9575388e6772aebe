import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, renameSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import { eventually, pause } from "./_bench.ts";
import { assertRuntime } from "./support.ts";

describe("files", () => {
  const { files } = currentRuntime();
  let folder: string;
  beforeEach(() => {
    assertRuntime();
    folder = mkdtempSync(join(tmpdir(), "fetchmesh-"));
  });

  it("writeAtomic() makes the directory, sets the mode and leaves nothing else behind", async () => {
    const path = join(folder, "deep", "er", "state.json");
    await files.writeAtomic(path, "one");
    await files.writeAtomic(path, "zwei é");
    assert.equal(await files.readText(path), "zwei é");
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, "deep")).mode & 0o777, 0o700);
    assert.deepEqual(await files.list(join(folder, "deep", "er")), ["state.json"]);
    await files.writeAtomic(path, "public", 0o644);
    assert.equal(statSync(path).mode & 0o777, 0o644);
  });

  it("a reader of a file that is being replaced sees one version or the other", async () => {
    const path = join(folder, "state");
    const versions = ["a".repeat(200_000), "b".repeat(300_000)];
    await files.writeAtomic(path, versions[0]!);
    const writing = (async () => {
      for (let i = 0; i < 20; i++) await files.writeAtomic(path, versions[i % 2]!);
    })();
    for (let i = 0; i < 50; i++) assert.ok(versions.includes((await files.readText(path))!));
    await writing;
  });

  it("writeAtomic() that fails says which file and keeps the old one", async () => {
    writeFileSync(join(folder, "file"), "no directory");
    await assert.rejects(files.writeAtomic(join(folder, "file", "state"), "x"), {
      code: "ERR_OPTION_INVALID",
      message: /^cannot write .*file\/state: /,
    });
    assert.equal(await files.readText(join(folder, "file")), "no directory");
  });

  it("what is not there is null, empty or gone, never an error", async () => {
    const path = join(folder, "missing");
    assert.equal(await files.readText(path), null);
    assert.equal(await files.readText(join(path, "below")), null);
    assert.deepEqual(await files.list(path), []);
    assert.equal(await files.exists(path), false);
    assert.equal(await files.ageMs(path), null);
    await files.remove(path);
  });

  it("readText() refuses a file larger than asked for", async () => {
    const path = join(folder, "large");
    writeFileSync(path, "12345");
    assert.equal(await files.readText(path, 5), "12345");
    await assert.rejects(files.readText(path, 4), { code: "ERR_OPTION_INVALID", message: /5 bytes are more than 4/ });
    await assert.rejects(files.readText(folder), { code: "ERR_OPTION_INVALID", message: /^cannot read / });
  });

  it("createExclusive() succeeds for exactly one of many", async () => {
    const path = join(folder, "lock");
    const results = await Promise.all(Array.from({ length: 10 }, (_, i) => files.createExclusive(path, String(i))));
    assert.equal(results.filter(Boolean).length, 1);
    assert.equal(await files.readText(path), String(results.indexOf(true)));
    await files.remove(path);
    assert.equal(await files.createExclusive(path, "again"), true);
  });

  const watched = async (path: string, steps: readonly (() => unknown)[]): Promise<void> => {
    let changes = 0;
    const stop = files.watch(path, () => changes++);
    await pause(300);
    assert.equal(changes, 0, "never for the state found at the start");
    for (const [i, step] of steps.entries()) {
      const before = changes;
      await step();
      await eventually(() => changes > before, `a call after step ${i}`);
      await pause(50);
    }
    stop();
    const after = changes;
    await steps[0]!();
    await pause(400);
    assert.equal(changes, after, "never after stop()");
  };

  it("watch() of a file notices it appear, grow, be replaced and vanish", async () => {
    const path = join(folder, "mesh.yaml");
    await watched(path, [
      () => writeFileSync(path, "a"),
      () => appendFileSync(path, "b"),
      () => files.writeAtomic(path, "cd"),
      () => files.writeAtomic(path, "ef"),
      () => unlinkSync(path),
      () => files.writeAtomic(path, "again"),
    ]);
  });

  it("watch() of a directory notices its files, and a swap of the directory behind a symbolic link", async () => {
    const svid = join(folder, "svid");
    await files.writeAtomic(join(folder, "v1", "svid.pem"), "one");
    await files.writeAtomic(join(folder, "v2", "svid.pem"), "two");
    symlinkSync("v1", svid);
    await watched(svid, [
      () => files.writeAtomic(join(folder, "v1", "svid.pem"), "one again"),
      () => {
        // How Kubernetes publishes a new version of a mounted secret.
        symlinkSync("v2", join(folder, "next"));
        renameSync(join(folder, "next"), svid);
      },
      () => files.writeAtomic(join(svid, "bundle.pem"), "roots"),
      () => unlinkSync(join(svid, "bundle.pem")),
    ]);
  });
});
