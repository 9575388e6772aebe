/** An upload of which no byte was taken is as good as new: it goes to another endpoint. */
import assert from "node:assert/strict";
import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import type { Sidecar } from "../../src/sidecar.ts";
import { startApp, startMesh, type App, type Mesh } from "../support/mesh.ts";
import { eventually } from "../support/ports.ts";

const body = "x".repeat(300_000);

describe("retry() of an upload in motion", () => {
  let mesh: Mesh;
  let caller: Sidecar;
  const apps: App[] = [];
  const received: number[] = [];
  const alive = setInterval(() => {}, 1_000);
  before(async () => {
    mesh = await startMesh();
    const web = await startApp("web");
    const plain = await startApp("plain", (request, response) => {
      let bytes = 0;
      request.on("data", (chunk: Buffer) => (bytes += chunk.length));
      request.on("end", () => {
        received.push(bytes);
        response.end("taken");
      });
    });
    apps.push(web, plain);
    caller = await mesh.sidecar("web", web);
    const dead = await freedPort();
    await mesh.apply(`apiVersion: fetchmesh.dev/v1alpha1
kind: Service
metadata: {name: plain}
spec:
  endpoints:
    - {address: "127.0.0.1:${dead}", weight: 1}
    - {address: "127.0.0.1:${plain.port}", weight: 1}
`);
    await eventually("config is applied", async () => (await upload(caller, "GET", "")).status !== 404);
  });
  after(async () => {
    await mesh.close();
    for (const app of apps) await app.close();
    clearInterval(alive);
  });

  it("repeats a POST whose endpoint refused the connection before a byte of the body was asked for", async () => {
    received.length = 0;
    for (let n = 0; n < 4; n++) {
      const { status, text } = await upload(caller, "POST", body);
      assert.equal(status, 200, text);
    }
    assert.deepEqual(
      received,
      Array.from({ length: 4 }, () => body.length),
    );
  });
});

async function freedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** Chunked, in many pieces: nothing of it arrives whole. */
function upload(to: Sidecar, method: string, text: string): Promise<{ status: number; text: string }> {
  const [host, port] = to.ready.outbound.split(":");
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: host!, port: Number(port), path: "/", method, headers: { host: "plain" } },
      (response: IncomingMessage) => {
        let reply = "";
        response.on("data", (chunk: Buffer) => (reply += chunk.toString()));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text: reply }));
      },
    );
    request.on("error", reject);
    for (let at = 0; at < text.length; at += 50_000) request.write(text.slice(at, at + 50_000));
    request.end();
  });
}
