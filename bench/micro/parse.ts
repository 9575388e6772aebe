/**
 * What one head costs, in nanoseconds: found and validated, read as a route does, written as the next hop gets it.
 * Run it on each runtime: `bun bench/micro/parse.ts`. The minimum of many rounds: noise only ever adds.
 */
import { HeaderEdits } from "../../src/headers.ts";
import { emptyBody } from "../../src/wire/incoming-body.ts";
import { HeadParser } from "../../src/wire/head-parser.ts";
import { wireDefaults } from "../../src/wire/message.ts";
import { RequestLines } from "../../src/wire/request-head.ts";
import { RequestMessage } from "../../src/wire/request.ts";
import { ResponseLines } from "../../src/wire/response-head.ts";
import { ResponseMessage } from "../../src/wire/response.ts";
import { forwardedRequestHead, forwardedResponseHead, NO_BODY } from "../../src/wire/serialize.ts";

const requestBytes = Buffer.from(
  "GET /orders/1234567?expand=items HTTP/1.1\r\nHost: orders.default:80\r\nUser-Agent: bench/1.0 (linux; x64)\r\nAccept: application/json\r\n" +
    "Accept-Encoding: gzip, br\r\nX-Request-Id: 0b6f0e9c-34f3-4d7e-9a51-a3f1b7a2f2c1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n" +
    "Connection: keep-alive\r\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\n\r\n",
);
const responseBytes = Buffer.from(
  "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 19:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 130\r\nCache-Control: no-store\r\nConnection: keep-alive\r\n\r\n",
);

const edits = new HeaderEdits();
edits.set("x-request-id", "0b6f0e9c-34f3-4d7e-9a51-a3f1b7a2f2c1");
edits.set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
edits.set(
  "x-forwarded-client-cert",
  "By=spiffe://mesh.local/ns/default/sa/orders;Hash=0123456789abcdef;URI=spiffe://mesh.local/ns/default/sa/web",
);

const requests = new HeadParser("request", wireDefaults);
const responses = new HeadParser("response", wireDefaults);
const outgoing = { target: "/orders/1234567?expand=items", authority: null, edits, bodyLength: 0, hops: 1 };
const reply = { edits: null, mode: NO_BODY, bodyLength: 0, closes: false, date: "" };

const steps: Readonly<Record<string, () => unknown>> = {
  "request: parse": () => {
    requests.feed(requestBytes, 0);
    return requests.head;
  },
  "request: parse and check": () => {
    requests.feed(requestBytes, 0);
    return new RequestLines(requests.head!);
  },
  "request: parse, check, read 4 fields": () => {
    requests.feed(requestBytes, 0);
    const head = new RequestLines(requests.head!);
    return [head.path, head.get("traceparent"), head.get("x-request-id"), head.get("x-none")];
  },
  "request: parse, check, forward": () => {
    requests.feed(requestBytes, 0);
    return forwardedRequestHead(
      new RequestMessage(new RequestLines(requests.head!), emptyBody, "http", null),
      outgoing,
    );
  },
  "response: parse, forward": () => {
    responses.feed(responseBytes, 0);
    return forwardedResponseHead(
      new ResponseMessage(new ResponseLines(responses.head!, false), emptyBody, null, ""),
      reply,
    );
  },
};

const ROUNDS = 40;
const TIMES = 20_000;
for (const [name, step] of Object.entries(steps)) {
  let best = Infinity;
  let sink: unknown;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (let n = 0; n < TIMES; n++) sink = step();
    best = Math.min(best, performance.now() - start);
  }
  if (sink === undefined) throw new Error("nothing was made");
  console.log(`${name.padEnd(40)} ${((best / TIMES) * 1e6).toFixed(0).padStart(6)} ns`);
}
