import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { followConfig } from "../../src/control/apply.ts";
import { fileStore } from "../../src/control/file-store.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import { seededRandom } from "../../src/random.ts";
import { nodeFiles } from "../../src/runtime/node-files.ts";
import { tempDir } from "../support/ports.ts";
import { eventually, storeSuite } from "./_store-suite.ts";

for (const path of ["mesh", "mesh.json"]) {
  storeSuite(`file (${path})`, async () => {
    const folder = tempDir("fetchmesh-store");
    const open = async () => fileStore({ path: `${folder.path}/${path}`, files: nodeFiles });
    return { open, openAs: open, close: async () => folder.remove() };
  });
}

describe("file store", () => {
  it("applies what is written by hand, and keeps the last good over a slip", async () => {
    const folder = tempDir("fetchmesh-store");
    const path = `${folder.path}/mesh.json`;
    const store = fileStore({ path, files: nodeFiles });
    const seen: Snapshot[] = [];
    const write = (version: number, name: string): Promise<void> =>
      nodeFiles.writeAtomic(
        path,
        JSON.stringify(
          { version, documents: [{ apiVersion: "fetchmesh.dev/v1alpha1", kind: "Service", metadata: { name } }] },
          null,
          2,
        ),
      );
    const follower = followConfig({
      store,
      mesh: "default",
      clock: systemClock,
      random: seededRandom(1),
      onSnapshot: (snapshot) => seen.push(snapshot),
    });
    try {
      await follower.started;
      await write(1, "orders");
      await eventually("version 1", async () => follower.applied.version === 1);
      await nodeFiles.writeAtomic(path, '{"version":2,"documents":[');
      await eventually("a refusal", async () => follower.refusal !== null);
      assert.equal(follower.applied.version, 1);
      await write(2, "Not A Name");
      await eventually("another refusal", async () =>
        /documents\[0\] metadata\.name/.test(follower.refusal?.reason ?? ""),
      );
      await write(3, "billing");
      await eventually("version 3", async () => follower.applied.version === 3 && follower.refusal === null);
      assert.deepEqual([...seen.at(-1)!.services.keys()], ["default/billing"]);
      await nodeFiles.remove(path);
      await follower.look();
      assert.equal(follower.applied.version, 3, "absent is not empty");
    } finally {
      follower.close();
      await store.close();
      folder.remove();
    }
  });
});
