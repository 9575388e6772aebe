/** Bodies in motion, callers that leave and bodies that nobody reads, in workerd: what an exchange holds is given back. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/ports.ts";
import { route, service, startUpstream, type Echo, type Upstream } from "./upstream.ts";
import { bundle, startWorker, type Worker } from "./workerd.ts";

describe("mesh.fetch() in workerd, from first byte to last", () => {
  let upstream: Upstream;
  let worker: Worker;

  before(async () => {
    upstream = await startUpstream("orders");
    const script = await bundle("tests/edge/worker.ts");
    const documents = [
      service("orders", [upstream.address]),
      route("orders", [{ backendRefs: [{ name: "orders", port: 80 }], timeouts: { request: "30s" } }]),
    ];
    worker = await startWorker(script.text, { json: { OPTIONS: { documents } } });
  });

  after(async () => {
    await worker?.stop();
    await upstream?.close();
  });

  const inFlight = async (): Promise<number> =>
    ((await (await fetch(`${worker.url}/-/gc`)).json()) as { inFlight: number }).inFlight;

  it("streams a request and its response at the same time", async () => {
    let push!: (text: string) => void;
    let end!: () => void;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        push = (text) => controller.enqueue(new TextEncoder().encode(text));
        end = () => controller.close();
      },
    });
    push("one ");
    const response = await fetch(`${worker.url}/orders/upper`, { method: "POST", body, duplex: "half" } as RequestInit);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader.read()).value, "ONE ");
    push("two ");
    assert.equal((await reader.read()).value, "TWO ");
    end();
    assert.equal((await reader.read()).done, true);
    assert.equal(await inFlight(), 0);
  });

  it("sends an upload larger than what it keeps, whole and with its length", async () => {
    const body = "x".repeat(1_000_000);
    const response = await fetch(`${worker.url}/orders/`, { method: "POST", body });
    const echo = (await response.json()) as Echo;
    assert.equal(echo.body, "1000000");
    assert.equal(echo.headers["content-length"], "1000000");
  });

  it("rejects with the caller's own reason, and stops the upstream", async () => {
    const { aborted } = upstream;
    const response = await fetch(`${worker.url}/orders/hang`, { headers: { "x-give-up-after": "100" } });
    assert.equal(await response.text(), "gave up: TimeoutError");
    await eventually("the upstream to be told", () => upstream.aborted > aborted);
    assert.equal(await inFlight(), 0);
  });

  it("stops the upstream when the client leaves in the middle of a body", async () => {
    const { aborted } = upstream;
    const abort = new AbortController();
    const response = await fetch(`${worker.url}/orders/endless`, { signal: abort.signal });
    await response.body!.getReader().read();
    abort.abort();
    await eventually("the exchange to be over", async () => (await inFlight()) === 0);
    await eventually("the upstream to be told", () => upstream.aborted > aborted);
  });

  it("gives back what a call held whose body nobody reads, small or endless", async () => {
    for (const path of ["/orders/", "/orders/endless"]) {
      for (let i = 0; i < 5; i++) {
        const response = await fetch(worker.url + path, { headers: { "x-ignore-body": "yes" } });
        assert.equal(await response.text(), "ignored 200");
      }
      await eventually(`${path} to be over`, async () => (await inFlight()) === 0);
    }
  });

  it("tells its reader when a body breaks off", async () => {
    const response = await fetch(`${worker.url}/orders/endless`);
    const reader = response.body!.getReader();
    await reader.read();
    await upstream.close();
    await assert.rejects(async () => {
      while (!(await reader.read()).done);
    });
    await eventually("the exchange to be over", async () => (await inFlight()) === 0);
  });
});
