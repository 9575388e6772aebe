import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { quiet } from "../support/raw.ts";
import { doors, startRig, type Door, type Rig } from "./_rig.ts";

/** Lines of a head; the blank line and whatever is behind it belong to the case. */
interface Attack {
  readonly name: string;
  readonly bytes: string;
  /** Statuses that are a fitting refusal. */
  readonly status: readonly number[];
}

const attack = (name: string, bytes: string, ...status: number[]): Attack => ({ name, bytes, status });
const chunked = "POST /api/x HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: chunked\r\n\r\n";
const smuggled = "GET /admin HTTP/1.1\r\nHost: orders\r\n\r\n";

/** None of these may send a single byte to the application. */
const refused: readonly Attack[] = [
  attack(
    "A-01 CL and TE",
    `POST /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    400,
  ),
  attack(
    "A-01 TE and CL",
    `POST /api/x HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${smuggled}`,
    400,
  ),
  attack(
    "A-02 two lengths",
    `POST /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx${smuggled}`,
    400,
  ),
  attack("A-02 two lengths in one line", "POST /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: 1, 2\r\n\r\nxx", 400),
  ...["+1", "0x1", "1_0", "-1", "1.0", "", "99999999999999999999"].map((length) =>
    attack(
      `A-02 length ${JSON.stringify(length)}`,
      `POST /api/x HTTP/1.1\r\nHost: orders\r\nContent-Length: ${length}\r\n\r\nx`,
      400,
    ),
  ),
  ...[
    "chunked, identity",
    "xchunked",
    "\x0bchunked",
    "gzip, chunked",
    "chunked, chunked",
    ",chunked",
    "identity",
    '"chunked"',
  ].map((coding) =>
    attack(
      `A-03 coding ${JSON.stringify(coding)}`,
      `POST /api/x HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      501,
    ),
  ),
  attack(
    "A-03 two codings in two lines",
    "POST /api/x HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    400,
    501,
  ),
  attack(
    "A-03 a coding in HTTP/1.0",
    "POST /api/x HTTP/1.0\r\nHost: orders\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
  ),
  attack(
    "A-03 space before the colon",
    "POST /api/x HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    400,
  ),
  attack(
    "A-03 folded coding",
    "POST /api/x HTTP/1.1\r\nHost: orders\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    400,
  ),
  attack("A-07 two Hosts", "GET /api/x HTTP/1.1\r\nHost: orders\r\nHost: web\r\n\r\n", 400),
  attack("A-07 two equal Hosts", "GET /api/x HTTP/1.1\r\nHost: orders\r\nHost: orders\r\n\r\n", 400),
  attack("A-07 no Host", "GET /api/x HTTP/1.1\r\n\r\n", 400),
  ...[
    "a b",
    "orders, web",
    "x@orders",
    "orders/evil",
    "orders/admin?",
    "orders?x",
    "orders#x",
    "orders:x",
    "orders:99999",
    "[::1",
    "orders\\x",
    "%6frders",
  ].map((host) => attack(`A-07 A-08 Host ${host}`, `GET /api/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400)),
  attack(
    "L5 two Authorization lines",
    "GET /api/x HTTP/1.1\r\nHost: orders\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
    400,
  ),
  attack("A-09 user information in the target", "GET http://orders@web/api/x HTTP/1.1\r\nHost: orders\r\n\r\n", 400),
  attack("A-09 another scheme", "GET file://orders/etc/passwd HTTP/1.1\r\nHost: orders\r\n\r\n", 400),
  attack("L4 a fragment in the target", "GET /api/x#/admin HTTP/1.1\r\nHost: orders\r\n\r\n", 400),
  attack("a bare LF behind the request line", "GET /api/x HTTP/1.1\nHost: orders\r\n\r\n", 400),
  attack("a bare LF behind a header", "GET /api/x HTTP/1.1\r\nHost: orders\nX: y\r\n\r\n", 400),
  attack("a bare CR in a value", "GET /api/x HTTP/1.1\r\nHost: orders\r\nX: a\rb\r\n\r\n", 400),
  attack("a NUL in a value", "GET /api/x HTTP/1.1\r\nHost: orders\r\nX: a\0b\r\n\r\n", 400),
  attack("HTTP/2.0", "GET /api/x HTTP/2.0\r\nHost: orders\r\n\r\n", 505),
  attack("HTTP/1.2", "GET /api/x HTTP/1.2\r\nHost: orders\r\n\r\n", 505),
  attack("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 501, 505),
  ...["get", "FOO", "TRACE", "CONNECT"].map((method) =>
    attack(`A-34 ${method}`, `${method} /api/x HTTP/1.1\r\nHost: orders\r\n\r\n`, 400, 403, 405, 501),
  ),
  attack("A-34 CONNECT to an authority", "CONNECT orders:443 HTTP/1.1\r\nHost: orders:443\r\n\r\n", 400, 403, 405),
  attack(
    "an unknown expectation",
    "POST /api/x HTTP/1.1\r\nHost: orders\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\nx",
    417,
  ),
];

/** Refused when the body is read: the head was fine, and may be on its way. No complete request may arrive. */
const brokenBodies: readonly Attack[] = [
  ...["0x1", "+1", "1_0", "", "10000000000000001", " 1", "1 ", "-1", "g"].map((size) =>
    attack(`A-04 chunk size ${JSON.stringify(size)}`, `${chunked}${size}\r\nx\r\n0\r\n\r\n${smuggled}`, 400),
  ),
  attack("A-04 no CRLF behind a chunk", `${chunked}1\r\nxyz0\r\n\r\n${smuggled}`, 400),
  attack("A-04 a bare LF behind a chunk size", `${chunked}1\nx\r\n0\r\n\r\n${smuggled}`, 400),
  attack("L25 two bytes that are no CRLF at the end", `${chunked}0\r\nXX${smuggled}`, 400),
];

const large: readonly Attack[] = [
  attack("A-13 101 headers", `GET / HTTP/1.1\r\nHost: orders\r\n${"x: y\r\n".repeat(100)}\r\n`, 431),
  attack("A-13 17 KiB of headers", `GET / HTTP/1.1\r\nHost: orders\r\nx: ${"y".repeat(17_408)}\r\n\r\n`, 431),
  attack("A-13 a URL of 9 KiB", `GET /${"y".repeat(9_216)} HTTP/1.1\r\nHost: orders\r\n\r\n`, 414),
];

describe("bytes that could mean two things", () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig.close());

  /** Sends them and demands a refusal, the end of the connection, and silence upstream. */
  async function isRefused(
    door: Door,
    { name, bytes, status }: Attack,
    parts: Iterable<string>,
    prefix = "",
  ): Promise<void> {
    const client = await rig.open(door);
    try {
      if (prefix !== "") {
        client.write(prefix + bytes);
        assert.equal((await client.reply()).status, 200, `${name}: the good request`);
      } else await client.writeParts(parts);
      const reply = await client.reply();
      assert.ok(status.includes(reply.status), `${name} at ${door}: ${reply.status}, not ${status.join("/")}`);
      await client.closed();
      assert.equal(client.text, "", `${name} at ${door}: one reply only`);
    } finally {
      client.destroy();
    }
  }

  for (const door of doors) {
    it(`are refused whole at the ${door} port, and the application hears nothing`, async () => {
      rig.upstream.forget();
      for (const one of [...refused, ...large]) await isRefused(door, one, [one.bytes]);
      await quiet();
      assert.equal(rig.upstream.bytes, 0);
    });

    it(`are refused byte by byte at the ${door} port`, async () => {
      rig.upstream.forget();
      await Promise.all(refused.map((one) => isRefused(door, one, one.bytes)));
      await quiet();
      assert.equal(rig.upstream.bytes, 0);
    });

    it(`are refused in two pieces, whatever the cut, at the ${door} port`, async () => {
      rig.upstream.forget();
      const names = new Set(["A-01 CL and TE", "A-02 two lengths", "A-07 two Hosts", "A-03 folded coding"]);
      for (const one of refused.filter(({ name }) => names.has(name))) {
        // The parser behind both doors is one; a TLS handshake for every cut would be most of this file's time.
        const step = door === "inbound" ? 5 : 1;
        const cuts = Array.from({ length: Math.floor((one.bytes.length - 1) / step) }, (_, i) => 1 + i * step);
        for (let i = 0; i < cuts.length; i += 20) {
          await Promise.all(
            cuts.slice(i, i + 20).map((cut) => isRefused(door, one, [one.bytes.slice(0, cut), one.bytes.slice(cut)])),
          );
        }
      }
      await quiet();
      assert.equal(rig.upstream.bytes, 0);
    });

    it(`are refused behind a good request at the ${door} port, which is answered first`, async () => {
      rig.upstream.forget();
      const good = "GET /good HTTP/1.1\r\nHost: orders\r\n\r\n";
      for (const one of refused) await isRefused(door, one, [], good);
      await quiet();
      assert.equal(rig.upstream.requests.length, refused.length);
      assert.ok(rig.upstream.requests.every(({ startLine }) => startLine === "GET /good HTTP/1.1"));
    });

    it(`never become a complete request if only the body is broken, at the ${door} port`, async () => {
      rig.upstream.forget();
      for (const one of brokenBodies) {
        for (const parts of [[one.bytes], one.bytes]) {
          const client = await rig.open(door);
          await client.writeParts(parts);
          await client.closed();
          if (client.text !== "") assert.equal((await client.reply()).status, 400, one.name);
          client.destroy();
        }
      }
      await quiet();
      assert.deepEqual(
        rig.upstream.requests.map(({ startLine }) => startLine),
        [],
      );
      assert.ok(!rig.upstream.connections.some(({ text }) => text.includes("/admin")));
    });
  }

  it("are counted by what was wrong with them", async () => {
    for (const code of [
      "ERR_REQUEST_MALFORMED",
      "ERR_HEADERS_TOO_LARGE",
      "ERR_TARGET_TOO_LONG",
      "ERR_METHOD_NOT_ALLOWED",
    ]) {
      for (const [door, sidecar] of [
        ["outbound", rig.web],
        ["inbound", rig.orders],
      ] as const) {
        assert.ok(
          (await rig.count(sidecar, "fetchmesh_requests_refused_total", { direction: door, code })) > 0,
          `${door} ${code}`,
        );
      }
    }
  });
});
