import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { after, before, beforeEach, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { call } from "../support/mesh.ts";
import { delay, eventually } from "../support/ports.ts";
import { ok, quiet, rawClient, valuesOf } from "../support/raw.ts";
import { doors, knows, startRig, type Rig } from "./_rig.ts";

/** A server that is no HTTP server: it does what it is told as soon as somebody says something. */
async function rude(react: (socket: Socket) => void): Promise<{ host: string; port: number; server: Server }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => react(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  return { host: "127.0.0.1", port: typeof at === "object" && at !== null ? at.port : 0, server };
}

describe("at the edges", () => {
  let rig: Rig;
  const servers: Server[] = [];
  before(async () => {
    rig = await startRig({ accessLog: "all" });
  });
  after(async () => {
    await rig.close();
    for (const server of servers) server.close();
  });
  beforeEach(() => {
    rig.upstream.script = () => ok;
    rig.upstream.forget();
  });

  it("a request that runs in a circle is stopped: 508 (rule 7)", async () => {
    const [host = "", port] = rig.web.ready.outbound.split(":");
    const circle = await rig.sidecar("circle", { host, port: Number(port) });
    await knows(rig.web, circle);
    const client = await rig.open("outbound");
    client.write("GET / HTTP/1.1\r\nHost: circle\r\n\r\n");
    const reply = await client.reply();
    assert.deepEqual([reply.status, valuesOf(reply, "x-mesh-flag")], [508, ["LOOP"]]);
    client.destroy();
  });

  it(
    "callers choose no label of a metric: a thousand hosts, paths and methods add next to nothing (L28)",
    { timeout: 30_000 },
    async () => {
      const client = await rig.open("outbound");
      const lines = async (): Promise<string[]> => (await call(rig.web.ready.admin, "/metrics")).body.split("\n");
      const before = (await lines()).length;
      for (let i = 0; i < 1_000; i++)
        client.write(`GET /path-${i} HTTP/1.1\r\nHost: zz${i}.example\r\nUser-Agent: zz${i}\r\n\r\n`);
      for (let i = 0; i < 1_000; i++) assert.equal((await client.reply()).status, 404);
      const after = await lines();
      assert.ok(after.length - before < 100, `${after.length - before} lines more`);
      assert.ok(!after.some((line) => line.includes("zz") || line.includes("/path-")));
      client.destroy();
    },
  );

  it("whatever a path or a header holds, a line of the log is one JSON document (L29)", async () => {
    const client = await rig.open("outbound");
    client.write(
      'GET /a"b\\c%0d%0a{"x":1}?q=\x7b HTTP/1.1\r\nHost: orders\r\nUser-Agent: "\\\xff\t{}\r\nX-Request-Id: "}\r\n\r\n',
    );
    await client.reply();
    await eventually("it is logged", () => rig.logs.some((line) => line.includes("%0d%0a")), 3_000);
    for (const line of rig.logs.flatMap((text) => text.split("\n")).filter((text) => text !== ""))
      assert.equal(typeof JSON.parse(line), "object", line);
    client.destroy();
  });

  for (const door of doors) {
    it(`HTTP/1.0 gets its reply and the end, without chunks, at the ${door} port (rule 28)`, async () => {
      rig.upstream.script = () => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
      const client = await rig.open(door);
      client.write("GET /api/x HTTP/1.0\r\nHost: orders\r\n\r\n");
      await client.closed();
      assert.match(client.text, /^HTTP\/1\.1 200 /);
      assert.doesNotMatch(client.text, /transfer-encoding/i);
      assert.ok(client.text.endsWith("\r\n\r\nok"), client.text);
      client.destroy();
    });

    it(`half a body is no request, and its connection upstream serves nobody else, at the ${door} port (rule 20)`, async () => {
      for (const head of ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]) {
        rig.upstream.forget();
        const client = await rig.open(door);
        client.write(`POST /half HTTP/1.1\r\nHost: orders\r\n${head}`);
        await eventually(
          "it has begun upstream",
          () => rig.upstream.connections.some(({ text }) => text.endsWith("half") || text.endsWith("half\r\n")),
          3_000,
        );
        const begun = rig.upstream.connections.find(({ text }) => text.includes("/half"))!;
        client.destroy();
        await eventually("it is cut upstream", () => begun.isClosed, 3_000);
        assert.deepEqual(rig.upstream.requests, []);
        const next = await rig.open(door);
        next.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
        assert.equal((await next.reply()).status, 200);
        next.destroy();
      }
    });
  }

  it("an upload that streams is not repeated, though its method would allow it (L38)", async () => {
    rig.upstream.script = () => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    const client = await rig.open("outbound");
    client.write("PUT /big HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let i = 0; i < 32; i++) {
      client.write(`10000\r\n${"x".repeat(65_536)}\r\n`);
      await delay(1);
    }
    client.write("0\r\n\r\n");
    assert.equal((await client.reply()).status, 503);
    await quiet(100);
    assert.equal(rig.upstream.requests.length, 1);
    assert.equal(rig.upstream.requests[0]!.body.length, 2_097_152);
    client.destroy();
  });

  it("an early answer reaches a caller who is still sending", async () => {
    const early = await rude(
      (socket) =>
        void socket.end("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge"),
    );
    servers.push(early.server);
    await knows(rig.web, await rig.sidecar("early", early));
    const client = await rig.open("outbound");
    client.write("POST / HTTP/1.1\r\nHost: early\r\nContent-Length: 1000000\r\n\r\n");
    client.write("x".repeat(1_000));
    const reply = await client.reply();
    assert.deepEqual([reply.status, reply.body], [413, "large"]);
    client.destroy();
  });

  it(
    "a server that never stops saying 102, or sends no head at all, or garbage, is 502 or 503",
    { timeout: 20_000 },
    async () => {
      const sayings = [
        "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000),
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200\r\n\r\n\0",
        "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(500)}\r\n`,
        "",
      ];
      for (const [i, saying] of sayings.entries()) {
        const server = await rude((socket) => void socket.end(Buffer.from(saying, "latin1")));
        servers.push(server.server);
        await knows(rig.web, await rig.sidecar(`rude${i}`, server));
        const client = await rig.open("outbound");
        client.write(`POST / HTTP/1.1\r\nHost: rude${i}\r\nContent-Length: 0\r\n\r\n`);
        const reply = await client.reply();
        // "HTTP/1.1 200" with an empty reason is correct; what follows it is a body until the end.
        if (i === 2) assert.deepEqual([reply.status, reply.body], [200, "\0"]);
        else assert.ok([502, 503].includes(reply.status), `${JSON.stringify(saying.slice(0, 30))}: ${reply.status}`);
        client.destroy();
      }
    },
  );

  it("no TLS session is resumed, so every connection proves who it is (L13)", async () => {
    const [host = "", port] = rig.orders.ready.inbound.split(":");
    const { identity } = rig.peer;
    const anybody = { host, port: Number(port), ca: [...rig.ca.trust.rootsPem], checkServerIdentity: () => undefined };
    const sessions: Buffer[] = [];
    const first = connectTls({ ...anybody, cert: identity.certificateChainPem, key: identity.privateKeyPem });
    first.on("session", (session: Buffer) => sessions.push(session));
    first.on("error", () => {});
    await new Promise<void>((resolve) => first.once("secureConnect", () => resolve()));
    first.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
    await new Promise<void>((resolve) => first.once("data", () => resolve()));
    await delay(50);
    first.destroy();
    for (const session of sessions) {
      const again = connectTls({ ...anybody, session });
      let text = "";
      again.on("error", () => {});
      again.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
      again.write("GET /api/x HTTP/1.1\r\nHost: orders\r\n\r\n");
      await Promise.race([new Promise<void>((resolve) => again.once("close", () => resolve())), delay(2_000)]);
      assert.equal(text, "");
      again.destroy();
    }
  });

  it(
    "a thousand requests in one write are answered in order, and a caller who does not read stops being read",
    { timeout: 20_000 },
    async () => {
      rig.upstream.script = ({ startLine }) => {
        const path = startLine.split(" ")[1]!;
        return `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`;
      };
      const client = await rawClient(rig.web.ready.outbound);
      client.write(Array.from({ length: 1_000 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: orders\r\n\r\n`).join(""));
      for (let i = 0; i < 1_000; i++) assert.equal((await client.reply()).body, `/${i}`);
      client.destroy();
    },
  );
});
