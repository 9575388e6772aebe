/** What a deployment of the module weighs, and what is not in it. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { bundle, type Bundle } from "./workerd.ts";

describe("the bundle of an edge worker", () => {
  let worker: Bundle;
  before(async () => {
    worker = await bundle("examples/edge-worker/worker.ts");
  });

  it("leaves nothing to be imported: no built-in of Node, no package", () => {
    assert.deepEqual(worker.external, []);
    const traces = /["'`]node:[a-z]*|\bimport\s*[("'{*]|\brequire\(|\bprocess\.(?:env|version)/g;
    assert.deepEqual(worker.text.match(traces), null);
  });

  it("reaches no file that is of no use in a worker, so that no bundler has to leave it out", () => {
    const useless =
      /^(?:src\/(?:wire|cli)\/|src\/runtime\/(?!contract|edge|fetch-transport)|src\/sidecar|node_modules\/(?!zod\/))/;
    assert.deepEqual(
      worker.inputs.filter((file) => useless.test(file) && !/^src\/wire\/(?:chars|fields|message)\.ts$/.test(file)),
      [],
    );
    // Error messages in sixty languages.
    assert.deepEqual(
      worker.used.filter((file) => file.includes("/locales/")),
      [],
    );
  });

  it(`is at most 48 KB compressed`, (t) => {
    t.diagnostic(`${worker.gzipBytes} bytes minified and compressed, ${worker.text.length} minified`);
    assert.ok(worker.gzipBytes <= 48_000, `${worker.gzipBytes} bytes`);
  });
});
