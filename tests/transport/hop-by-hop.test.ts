import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { removeHopByHop } from "../../src/transport/hop-by-hop.ts";

describe("removeHopByHop()", () => {
  it("removes what belongs to one connection and what Connection names", () => {
    const headers = new Headers({
      connection: "close, X-Foo, bad name",
      "x-foo": "1",
      "keep-alive": "5",
      te: "gzip",
      upgrade: "x",
      "proxy-authorization": "y",
      a: "1",
    });
    removeHopByHop(headers);
    assert.deepEqual([...headers], [["a", "1"]]);
  });

  it("keeps te: trailers, and what frames or addresses the message", () => {
    const headers = new Headers({ connection: "content-length, te", "content-length": "3", te: "gzip, trailers" });
    removeHopByHop(headers);
    assert.deepEqual(
      [...headers],
      [
        ["content-length", "3"],
        ["te", "trailers"],
      ],
    );
  });
});
