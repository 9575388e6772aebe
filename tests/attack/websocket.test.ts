import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/ports.ts";
import { quiet, rawClient, valuesOf, type RawClient } from "../support/raw.ts";
import { knows, startRig, type Rig } from "./_rig.ts";
import {
  acceptOf,
  BINARY,
  CLOSE,
  encodeFrame,
  FrameReader,
  PING,
  PONG,
  startEcho,
  TEXT,
  type EchoServer,
  type Frame,
} from "./_websocket.ts";

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const upgrade = (path: string, more = ""): string =>
  `GET ${path} HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${more}\r\n`;
const text = (value: string): Frame => ({ opcode: TEXT, payload: Buffer.from(value) });

describe("a WebSocket through two sidecars", () => {
  let rig: Rig;
  let echo: EchoServer;
  const greeting = encodeFrame(text("hello"), false);
  before(async () => {
    rig = await startRig();
    echo = await startEcho(greeting);
    await knows(rig.web, await rig.sidecar("chat", echo));
    await rig.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-ws }
spec: { action: DENY, selector: { matchLabels: { app: chat } }, rules: [{ to: [{ operation: { paths: ["/denied"] } }] }] }
`);
  });
  after(async () => {
    await rig.close();
    await echo.close();
  });

  /** An open WebSocket, with the greeting that came in one write with the 101. */
  async function open(early = ""): Promise<{ client: RawClient; reader: FrameReader; next(): Promise<Frame> }> {
    const client = await rig.open("outbound");
    client.write(upgrade("/ws") + early);
    const reply = await client.reply();
    assert.equal(reply.status, 101);
    assert.deepEqual(valuesOf(reply, "sec-websocket-accept"), [acceptOf(key)]);
    assert.deepEqual(valuesOf(reply, "upgrade"), ["websocket"]);
    assert.match(valuesOf(reply, "connection").join(), /^upgrade$/i);
    const reader = new FrameReader(false);
    reader.push(Buffer.from(client.text, "latin1"));
    client.socket.on("data", (bytes: Buffer) => reader.push(bytes));
    const next = (): Promise<Frame> => eventually("a frame", () => reader.frames.shift(), 5_000, 2);
    assert.equal(String((await next()).payload), "hello");
    return { client, reader, next };
  }

  it("echoes text, binary, a megabyte and a ping, byte for byte, and keeps the close code (A-37)", async () => {
    const { client, next } = await open();
    const frames: Frame[] = [
      text("täxt"),
      { opcode: BINARY, payload: Buffer.from(Array.from({ length: 256 }, (_, i) => i)) },
      { opcode: BINARY, payload: randomBytes(1_048_576) },
      text(""),
    ];
    for (const frame of frames) {
      client.write(encodeFrame(frame, true));
      const back = await next();
      assert.equal(back.opcode, frame.opcode);
      assert.ok(back.payload.equals(frame.payload));
    }
    client.write(encodeFrame({ opcode: PING, payload: Buffer.from("?") }, true));
    assert.deepEqual(await next(), { opcode: PONG, payload: Buffer.from("?") });
    const bye = { opcode: CLOSE, payload: Buffer.concat([Buffer.from([0x0f, 0xa1]), Buffer.from("bye")]) };
    client.write(encodeFrame(bye, true));
    assert.deepEqual(await next(), bye);
    assert.deepEqual(echo.closeCodes.splice(0), [4_001]);
    await client.closed();
  });

  it("ends at the application when its caller is gone", async () => {
    const { client } = await open();
    const open_ = (): Promise<number> => rig.count(rig.orders, "fetchmesh_requests_in_flight");
    client.destroy();
    await eventually(
      "nothing is in flight",
      async () => (await open_()) === 0 && (await rig.count(rig.web, "fetchmesh_requests_in_flight")) === 0,
      3_000,
    );
  });

  it("on a denied path is 403, and the application is not even connected to (A-38, L18)", async () => {
    const before = echo.connections;
    const client = await rig.open("outbound");
    client.write(upgrade("/denied") + encodeFrame(text("early"), true).toString("latin1"));
    assert.equal((await client.reply()).status, 403);
    await quiet();
    assert.equal(echo.connections, before);
    client.destroy();
  });

  for (const [name, answer] of [
    ["200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    ["302", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"],
    ["426", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"],
  ] as const) {
    it(`is no tunnel if the answer is ${name}: what follows is HTTP and is authorized (L17)`, async () => {
      echo.answer = answer;
      const client = await rig.open("outbound");
      client.write(`${upgrade("/ws")}GET /denied HTTP/1.1\r\nHost: chat\r\n\r\n`);
      assert.equal((await client.reply()).status, Number(name));
      assert.equal((await client.reply()).status, 403);
      client.destroy();
      echo.answer = null;
    });
  }

  for (const [name, answer] of [
    ["without Upgrade", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"],
    ["to another protocol", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"],
  ] as const) {
    it(`is 502 if upstream switches ${name}`, async () => {
      echo.answer = answer;
      const client = await rig.open("outbound");
      client.write(upgrade("/ws"));
      const { status } = await client.reply();
      assert.equal(status, 502);
      client.destroy();
      echo.answer = null;
    });
  }

  it("that nobody asked for is 502 (RFC 9110 §15.2.2)", async () => {
    echo.answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const client = await rig.open("outbound");
    client.write("GET /ws HTTP/1.1\r\nHost: chat\r\n\r\n");
    assert.equal((await client.reply()).status, 502);
    client.destroy();
    echo.answer = null;
  });

  it("sent before the 101 waits: no byte of it goes ahead of the switch (L17)", async () => {
    echo.early.length = 0;
    const { client, next } = await open(encodeFrame(text("too early"), true).toString("latin1"));
    assert.equal(String((await next()).payload), "too early");
    assert.deepEqual(echo.early, []);
    client.destroy();
  });

  it("never becomes h2c (L19)", async () => {
    const before = echo.connections;
    echo.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const client = await rawClient(rig.web.ready.outbound);
    client.write(
      "GET /ws HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n",
    );
    assert.equal((await client.reply()).status, 200);
    assert.ok(echo.connections >= before);
    client.destroy();
    echo.answer = null;
  });
});
