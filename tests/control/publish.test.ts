import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/clock.ts";
import { followConfig } from "../../src/control/apply.ts";
import {
  applyDocuments,
  deleteDocument,
  diffDocuments,
  readCurrent,
  rollbackTo,
  type Published,
  type Publisher,
  type PublishResult,
} from "../../src/control/publish.ts";
import { problemText } from "../../src/control/problems.ts";
import { memoryStore } from "../../src/control/store-memory.ts";
import type { Snapshot } from "../../src/control/snapshot.ts";
import { MeshError } from "../../src/errors.ts";
import { seededRandom } from "../../src/random.ts";

const note = { author: "operator", message: "test" };
const known: ReadonlySet<string> = new Set(["default/orders", "default/orders-v2"]);

function publisher(): Publisher {
  return { store: memoryStore(), mesh: "default", clock: systemClock };
}

const route = (weight: number, name = "orders"): string => `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}}
spec:
  parentRefs: [{kind: Service, name: orders}]
  rules:
    - backendRefs:
        - {name: orders, weight: ${100 - weight}}
        - {name: orders-v2, weight: ${weight}}
`;

function published(result: PublishResult): Published {
  if ("refused" in result) throw new Error(result.refused.map(problemText).join("\n"));
  return result;
}

describe("applyDocuments()", () => {
  it("creates, updates and leaves alone, one version per change", async () => {
    const to = publisher();
    const apply = async (text: string): Promise<Published> =>
      published(await applyDocuments(to, [{ file: "mesh.yaml", text }], note, known));
    const first = await apply(route(10));
    assert.equal(first.version, 1);
    assert.match(first.digest, /^sha256-[0-9a-f]{64}$/);
    assert.deepEqual(first.changes, [{ action: "created", kind: "HTTPRoute", namespace: "default", name: "orders" }]);
    const same = await apply(route(10));
    assert.equal(same.version, 1);
    assert.equal(same.changes[0]?.action, "unchanged");
    const second = await apply(route(20));
    assert.equal(second.version, 2);
    assert.equal(second.changes[0]?.action, "updated");
    assert.notEqual(second.digest, first.digest);
    const history = await to.store.config.history(10);
    assert.deepEqual(
      history.map(({ version }) => version),
      [2, 1],
    );
  });

  it("publishes nothing if one document of many is bad, and says where", async () => {
    const to = publisher();
    const result = await applyDocuments(
      to,
      [{ file: "mesh.yaml", text: `${route(10)}---\n${route(10, "b").replace("weight: 90", "wieght: 90")}` }],
      note,
      known,
    );
    assert.ok("refused" in result);
    assert.equal(result.refused.length, 1);
    const problem = result.refused[0]!;
    assert.equal(problem.code, "FM0101");
    assert.equal(`${problem.file}:${problem.line}:${problem.column}`, "mesh.yaml:18:26");
    assert.equal(problem.suggestion, "did you mean weight?");
    assert.equal(await to.store.config.pointer(), null);
  });

  it("refuses to go on top of another version than the expected one", async () => {
    const to = publisher();
    const attempt = applyDocuments(to, [{ file: "-", text: route(10) }], { ...note, expectVersion: 3 }, known);
    await assert.rejects(
      attempt,
      (error: unknown) => error instanceof MeshError && error.code === "ERR_VERSION_CONFLICT",
    );
  });

  it("writes nothing with dryRun but says what it would", async () => {
    const to = publisher();
    const result = published(
      await applyDocuments(to, [{ file: "-", text: route(10) }], { ...note, dryRun: true }, known),
    );
    assert.equal(result.version, 1);
    assert.equal(await to.store.config.pointer(), null);
  });

  it("loses no update among concurrent writers (I7)", async () => {
    const to = publisher();
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let round = 0; round < 20; round++) {
        published(await applyDocuments(to, [{ file: "-", text: route(round, `w${writer}-${round}`) }], note, known));
      }
    });
    await Promise.all(writers);
    const { version, documents } = await readCurrent(to);
    assert.equal(version, 160);
    assert.equal(documents.length, 160);
    const versions = (await to.store.config.history(1_000)).map((entry) => entry.version);
    assert.deepEqual(
      versions,
      Array.from({ length: 160 }, (_, index) => 160 - index),
    );
  });
});

describe("rollbackTo()", () => {
  it("brings old content back under a new, higher number", async () => {
    const to = publisher();
    const first = published(await applyDocuments(to, [{ file: "-", text: route(10) }], note, known));
    published(await applyDocuments(to, [{ file: "-", text: `${route(20)}---\n${route(1, "other")}` }], note, known));
    const back = published(await rollbackTo(to, 1, note));
    assert.equal(back.version, 3);
    assert.equal(back.digest, first.digest);
    assert.deepEqual(back.changes.map(({ action, name }) => `${action} ${name}`).sort(), [
      "deleted other",
      "updated orders",
    ]);
  });

  it("says so if the version is not kept", async () => {
    await assert.rejects(
      rollbackTo(publisher(), 9, note),
      (error: unknown) => error instanceof MeshError && error.code === "ERR_RESOURCE_NOT_FOUND",
    );
  });

  it("leads out of a current version that is garbage", async () => {
    const to = publisher();
    published(await applyDocuments(to, [{ file: "-", text: route(10) }], note, known));
    const epoch = (await to.store.config.pointer())!.epoch;
    const history = { version: 2, author: "?", message: "", at: "", changes: 0 };
    await to.store.config.publish({ expectedVersion: 1, next: { epoch, version: 2, body: "{" }, history, digest: "" });
    assert.equal(published(await rollbackTo(to, 1, note)).version, 3);
    assert.equal((await readCurrent(to)).documents.length, 1);
  });
});

describe("deleteDocument()", () => {
  it("removes one document and refuses to leave a route without its service", async () => {
    const to = publisher();
    const service = "apiVersion: fetchmesh.dev/v1alpha1\nkind: Service\nmetadata: {name: orders-v2}\nspec: {}\n";
    const few: ReadonlySet<string> = new Set(["default/orders"]);
    published(await applyDocuments(to, [{ file: "-", text: `${service}---\n${route(10)}` }], note, few));
    const refused = await deleteDocument(to, { kind: "Service", namespace: "default", name: "orders-v2" }, note, few);
    assert.ok("refused" in refused && refused.refused[0]?.code === "FM0202");
    const done = published(
      await deleteDocument(to, { kind: "httproute", namespace: "default", name: "orders" }, note, few),
    );
    assert.deepEqual(done.changes, [{ action: "deleted", kind: "HTTPRoute", namespace: "default", name: "orders" }]);
  });
});

describe("diffDocuments()", () => {
  it("shows what apply would change as a unified diff", async () => {
    const to = publisher();
    published(await applyDocuments(to, [{ file: "-", text: route(10) }], note, known));
    const { changes } = await diffDocuments(to, [{ file: "-", text: `${route(20)}---\n${route(1, "new")}` }], known);
    assert.equal(changes.length, 2);
    assert.match(
      changes[0]!.patch,
      /^--- a\/HTTPRoute\/default\/orders\.yaml\n\+\+\+ b\/HTTPRoute\/default\/orders\.yaml\n@@ -\d+,\d+ \+\d+,\d+ @@\n/,
    );
    assert.match(changes[0]!.patch, /\n- +weight: 90\n\+ +weight: 80\n/);
    assert.match(changes[1]!.patch, /^--- \/dev\/null\n/);
    assert.deepEqual((await diffDocuments(to, [{ file: "-", text: route(10) }], known)).changes, []);
  });
});

describe("followConfig()", () => {
  it("applies what is published, refuses garbage with a reason, and keeps the last good", async () => {
    const to = publisher();
    const seen: Snapshot[] = [];
    const refusals: (string | null)[] = [];
    const follower = followConfig({
      ...to,
      random: seededRandom(1),
      onSnapshot: (snapshot) => seen.push(snapshot),
      onRefused: (refusal) => refusals.push(refusal?.reason ?? null),
    });
    try {
      await follower.started;
      assert.deepEqual(follower.applied, { epoch: "", version: 0 });
      published(await applyDocuments(to, [{ file: "-", text: route(10) }], note, known));
      await follower.look();
      assert.equal(seen.length, 1);
      assert.ok(seen[0]!.routes("default/orders", "default") !== null);
      const { epoch } = follower.applied;
      const history = { version: 2, author: "?", message: "", at: "", changes: 0 };
      await to.store.config.publish({
        expectedVersion: 1,
        next: { epoch, version: 2, body: '{"documents":[{"kind":"HTTPRoute"}]}' },
        history,
        digest: "",
      });
      await follower.look();
      assert.equal(follower.applied.version, 1);
      assert.equal(follower.refusal?.version, 2);
      assert.match(follower.refusal?.reason ?? "", /documents\[0\]/);
      published(await rollbackTo(to, 1, note));
      await follower.look();
      assert.equal(follower.applied.version, 3);
      assert.equal(follower.refusal, null);
    } finally {
      follower.close();
    }
  });
});
