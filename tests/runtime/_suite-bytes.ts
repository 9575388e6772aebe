/** The part of the socket contract about bytes: order, half-close, backpressure. */
import assert from "node:assert/strict";
import { pause } from "./_bench.ts";
import { MEGABYTE, type Rule } from "./_rule.ts";

export function byteRules(rule: Rule): void {
  rule("delivers bytes unchanged and in order, both ways", async (bench) => {
    const { client, server } = await bench.pair();
    const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    server.onData = (chunk) => void server.socket.write(chunk.slice());
    client.socket.write(every);
    client.socket.write(every.toString("latin1"));
    await client.received(512);
    assert.deepEqual(Buffer.concat(client.chunks), Buffer.concat([every, every]));
    client.socket.end();
    await server.ended();
    server.socket.end();
    await Promise.all([client.closed(), server.closed()]);
    client.check();
    server.check();
    assert.equal(client.error, undefined);
    assert.equal(server.error, undefined);
  });

  rule("corked writes keep their order, and their bytes count as buffered", async (bench) => {
    const { client, server } = await bench.pair();
    client.socket.cork();
    client.socket.cork();
    client.socket.write("head\r\n\r\n");
    client.socket.write(Buffer.from("body"));
    client.socket.uncork();
    assert.ok(client.socket.bufferedBytes >= 12);
    await pause(20);
    assert.equal(server.bytes, 0, "still corked once");
    client.socket.uncork();
    client.socket.write("\xe9nd");
    client.socket.cork();
    client.socket.write("!");
    client.socket.end();
    await server.ended();
    assert.equal(server.text, "head\r\n\r\nbody\xe9nd!");
  });

  rule("a corked message larger than one buffer arrives whole", async (bench) => {
    const { client, server } = await bench.pair();
    client.socket.cork();
    client.socket.write("x".repeat(50_000));
    client.socket.write(new Uint8Array(MEGABYTE).fill(121));
    client.socket.uncork();
    client.socket.end();
    await server.ended();
    assert.equal(server.text, "x".repeat(50_000) + "y".repeat(MEGABYTE));
  });

  rule("half-close: who finished sending still receives", async (bench) => {
    const { client, server } = await bench.pair();
    client.socket.write("request");
    client.socket.end();
    await server.ended();
    assert.equal(server.text, "request");
    await pause(20);
    assert.equal(server.closes, 0);
    assert.equal(client.closes, 0);
    server.socket.write("late ");
    await client.received(5);
    server.socket.write("reply");
    server.socket.end();
    await Promise.all([client.closed(), server.closed()]);
    assert.equal(client.text, "late reply");
    assert.equal(client.ends, 1);
    client.check();
    server.check();
    assert.equal(client.error, undefined);
  });

  rule("write() after end() is refused and harms nothing", async (bench) => {
    const { client, server } = await bench.pair();
    client.socket.write("all");
    client.socket.end();
    client.socket.end();
    assert.equal(client.socket.write("more"), false);
    await server.ended();
    assert.equal(server.text, "all");
  });

  rule("a stalled reader of 50 MB holds the writer back, and gets every byte later", async (bench) => {
    const { client, server } = await bench.pair();
    const total = 50 * MEGABYTE;
    const piece = new Uint8Array(MEGABYTE / 10).fill(7);
    let written = 0;
    client.onDrain = () => pump();
    const pump = (): void => {
      while (written < total) {
        written += piece.length;
        if (!client.socket.write(piece)) return;
      }
      client.socket.end();
    };
    server.keepsChunks = false;
    server.socket.pause();
    pump();
    await pause(1_000);
    assert.equal(server.bytes, 0);
    // Two kernel buffers of up to 6 MB each on Linux's loopback, and the last write.
    assert.ok(written < 20 * MEGABYTE, `${written} bytes were taken of a writer whose reader is paused`);
    server.socket.resume();
    await server.ended();
    assert.equal(server.bytes, total);
    assert.equal(client.violations.length + server.violations.length, 0);
  });

  rule("drain() follows every write() that returned false", async (bench) => {
    const { client, server } = await bench.pair();
    server.keepsChunks = false;
    let refused = 0;
    for (let round = 1; round <= 5; round++) {
      if (!client.socket.write(new Uint8Array(2 * MEGABYTE))) refused++;
      await client.until(() => client.drains >= refused, `drain ${refused}`);
      await server.received(round * 2 * MEGABYTE);
    }
    client.socket.cork();
    assert.equal(client.socket.write(new Uint8Array(2 * MEGABYTE)), false);
    client.socket.uncork();
    await client.until(() => client.drains > refused, "drain of a corked write");
    await server.received(12 * MEGABYTE);
    assert.equal(client.socket.bufferedBytes, 0);
  });

  rule("nothing is delivered while paused, and everything in order after resume()", async (bench) => {
    const { client, server } = await bench.pair();
    client.socket.write("1");
    await server.received(1);
    server.socket.pause();
    client.socket.write("2");
    await pause(30);
    client.socket.write("3");
    client.socket.end();
    await pause(60);
    assert.equal(server.text, "1");
    assert.equal(server.ends, 0);
    server.socket.resume();
    await server.ended();
    assert.equal(server.text, "123");
  });

  rule("a handler may pause in the middle and resume later, without overlap", async (bench) => {
    const { client, server } = await bench.pair();
    const payload = Buffer.alloc(3 * MEGABYTE, "abcdefghij");
    let pauses = 0;
    server.onData = () => {
      server.socket.pause();
      pauses++;
      if (pauses % 2 === 0) server.socket.resume();
      else setTimeout(() => server.socket.resume(), 0);
    };
    client.socket.write(payload);
    client.socket.end();
    await server.ended();
    assert.ok(Buffer.concat(server.chunks).equals(payload));
    assert.deepEqual(server.violations, []);
  });
}
