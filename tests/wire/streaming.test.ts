/** Long bodies: every byte arrives, nothing is kept, and a reader that stops stops the writer. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { networks, startHop, type Hop, type RawEnd } from "./proxying.ts";

const MEGABYTE = 1_048_576;
const chunk = Uint8Array.from({ length: 65_536 }, (_, i) => (i * 31 + (i >> 8)) & 0xff);

function hashOf(times: number): string {
  const hash = createHash("sha256");
  for (let n = 0; n < times; n++) hash.update(chunk);
  return hash.digest("hex");
}

/** Keeps a digest of what follows the head, without its chunk framing. */
function digest(end: RawEnd, isChunked: boolean): { bytes: () => number; hex: () => string } {
  const hash = createHash("sha256");
  let bytes = 0;
  // The head may have come before anybody looked.
  let head = end.received;
  let isBody = head.endsWith("\r\n\r\n");
  let left = 0;
  let line = "";
  end.keepsText = false;
  const take = (piece: Uint8Array): void => {
    hash.update(piece);
    bytes += piece.length;
  };
  const takeChunked = (piece: Uint8Array): void => {
    for (let at = 0; at < piece.length;) {
      if (left > 0) {
        const to = Math.min(piece.length, at + left);
        take(piece.subarray(at, to));
        left -= to - at;
        at = to;
      } else {
        line += String.fromCharCode(piece[at++]!);
        if (line !== "\r\n" && line.endsWith("\r\n")) left = parseInt(line.trim(), 16);
        if (left > 0) line = "";
      }
    }
  };
  end.onData = (piece) => {
    let at = 0;
    while (!isBody && at < piece.length) {
      head += String.fromCharCode(piece[at++]!);
      isBody = head.endsWith("\r\n\r\n");
    }
    if (at < piece.length) (isChunked ? takeChunked : take)(piece.subarray(at));
  };
  return { bytes: () => bytes, hex: () => hash.digest("hex") };
}

async function until(isMet: () => boolean): Promise<void> {
  for (const start = Date.now(); !isMet();) {
    if (Date.now() - start > 20_000) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

for (const network of networks) {
  const withHop = async (use: (hop: Hop) => Promise<void>): Promise<void> => {
    const hop = await startHop(await network.make());
    try {
      await use(hop);
    } finally {
      await hop.close();
    }
  };

  describe(`long bodies on ${network.name}`, () => {
    const times = (20 * MEGABYTE) / chunk.length;

    for (const isChunked of [false, true]) {
      const framing = isChunked ? "chunked" : "with a length";
      const head = isChunked ? "Transfer-Encoding: chunked\r\n\r\n" : `Content-Length: ${20 * MEGABYTE}\r\n\r\n`;
      const pour = async (end: RawEnd): Promise<void> => {
        if (!isChunked) return end.pour(chunk, times);
        const framed = new Uint8Array(chunk.length + 9);
        framed.set([...`10000\r\n`].map((c) => c.charCodeAt(0)));
        framed.set(chunk, 7);
        framed.set([13, 10], chunk.length + 7);
        await end.pour(framed, times);
        end.send("0\r\n\r\n");
      };

      it(`20 MB up, ${framing}, arrive unchanged`, () =>
        withHop(async (hop) => {
          const client = await hop.connect();
          client.send(`POST / HTTP/1.1\r\nHost: a\r\n${head}`);
          const upstream = await hop.upstream(0);
          const seen = digest(upstream, isChunked);
          await pour(client);
          await until(() => seen.bytes() === 20 * MEGABYTE);
          assert.equal(seen.hex(), hashOf(times));
          upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
          await client.untilText("200 OK");
          assert.equal(hop.exchanges[0]!.bytesReceived, 20 * MEGABYTE);
        }));

      it(`20 MB down, ${framing}, arrive unchanged`, () =>
        withHop(async (hop) => {
          const client = await hop.connect();
          const seen = digest(client, isChunked);
          client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
          const upstream = await hop.upstream(0);
          await upstream.untilText("\r\n\r\n");
          upstream.send(`HTTP/1.1 200 OK\r\n${head}`);
          await pour(upstream);
          await until(() => seen.bytes() === 20 * MEGABYTE);
          assert.equal(seen.hex(), hashOf(times));
          await until(() => hop.exchanges[0]!.over);
          assert.equal(hop.exchanges[0]!.bytesSent, 20 * MEGABYTE);
        }));
    }

    it("a client that stops reading stops the upstream", () =>
      withHop(async (hop) => {
        const client = await hop.connect();
        client.keepsText = false;
        client.socket.pause();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        const upstream = await hop.upstream(0);
        await upstream.untilText("\r\n\r\n");
        upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: ${200 * MEGABYTE}\r\n\r\n`);
        let poured = 0;
        void (async () => {
          for (; poured < 200 && !upstream.isClosed; poured++) await upstream.pour(chunk, 16);
        })();
        await until(() => poured > 0 || network.name === "memory");
        let before = -1;
        while (before !== poured) {
          before = poured;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        // Kernels buffer a few megabytes on each of two loopback connections; the hop itself some hundred kilobytes.
        assert.ok(poured < 40, `${poured} MB were taken from the upstream`);
        client.socket.resume();
        await until(() => poured > before);
      }));

    it("an upstream that stops reading stops the client", () =>
      withHop(async (hop) => {
        const client = await hop.connect();
        client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${200 * MEGABYTE}\r\n\r\n`);
        const upstream = await hop.upstream(0);
        upstream.keepsText = false;
        upstream.socket.pause();
        let poured = 0;
        void (async () => {
          for (; poured < 200 && !client.isClosed; poured++) await client.pour(chunk, 16);
        })();
        let before = -1;
        while (before !== poured) {
          before = poured;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        assert.ok(poured < 40, `${poured} MB were taken from the client`);
        upstream.socket.resume();
        await until(() => poured > before);
      }));
  });
}
