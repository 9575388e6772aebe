/**
 * The verdicts of llhttp's own strict tests, as ours. Where ours differ it is on the safe side, and the reason is in a table: a
 * message that both frame must be framed alike.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { BodyReader } from "../../src/wire/body-reader.ts";
import { UNTIL_CLOSE } from "../../src/wire/framing.ts";
import { HeadParser } from "../../src/wire/head-parser.ts";
import { wireDefaults } from "../../src/wire/message.ts";
import { RequestLines } from "../../src/wire/request-head.ts";
import { ResponseLines } from "../../src/wire/response-head.ts";
import { bytesOf } from "./scripted-socket.ts";

interface Case {
  readonly name: string;
  readonly meta: { readonly type: string; readonly skipBody?: boolean };
  readonly input: string;
  readonly error: string | null;
  readonly messages: number;
}

function load(file: string): readonly Case[] {
  const { cases } = JSON.parse(readFileSync(new URL(`../fixtures/${file}`, import.meta.url), "utf8")) as {
    cases: Case[];
  };
  return cases.filter(({ meta }) => !meta.type.includes("lenient"));
}

interface Verdict {
  /** Messages read to their end. */
  readonly messages: number;
  readonly error: string | null;
}

/** Reads messages one after the other, as a connection does. */
function read(kind: "request" | "response", input: string, step: number): Verdict {
  const bytes = bytesOf(input);
  const parser = new HeadParser(kind, wireDefaults);
  let reader: BodyReader | null = null;
  let messages = 0;
  let mustClose = false;
  try {
    for (let from = 0; from < bytes.length; from += step) {
      const piece = bytes.slice(from, from + step);
      for (let at = 0; at < piece.length;) {
        if (reader === null) {
          if (mustClose) return { messages, error: "data behind a last message" };
          at = parser.feed(piece, at);
          if (at < 0) break;
          const head = kind === "request" ? new RequestLines(parser.head!) : new ResponseLines(parser.head!, false);
          const isSwitch = head instanceof ResponseLines && head.status === 101;
          if (isSwitch || (head instanceof RequestLines && head.upgrade !== null))
            return { messages: messages + 1, error: "upgrade" };
          const closes =
            head instanceof ResponseLines
              ? !head.isPersistent
              : head.connection.closes || (head.minorVersion === 0 && !head.connection.keepsAlive);
          if (closes) mustClose = true;
          if (head.bodyLength === 0) messages++;
          else reader = new BodyReader(head.bodyLength, wireDefaults.maxHeaderBytes);
          if (head.bodyLength === UNTIL_CLOSE) mustClose = false;
        } else {
          at = reader.feed(piece, at);
          if (reader.isComplete) {
            messages++;
            reader = null;
          }
        }
      }
    }
  } catch (error) {
    return { messages, error: (error as Error).message };
  }
  return { messages, error: null };
}

/** llhttp does not look at Host, which we demand: cases without one get it, so that they test what they are about. */
function withHosts(input: string): string {
  if (/^host:/im.test(input)) return input;
  return input.replace(/^([A-Z-]+ \S+ HTTP\/1\.1\r\n)/gm, "$1Host: a\r\n");
}

/** Part of a case's name → why we refuse what llhttp takes. */
const stricter: readonly (readonly [name: RegExp, reason: string])[] = [
  [
    /SOURCE request with ICE|OPTIONS request with RTSP|ANNOUNCE request with RTSP|RTSP response|ICE response/,
    "HTTP only",
  ],
  [/Fragment in URI/, "a fragment is never sent (Istio CVE-2021-39156)"],
  [/POST with `chunked` as last transfer-encoding/, "a fragment again, and codings besides chunked"],
  [/basic auth/, "no user in a target"],
  [/curl GET|Firefox GET/, "Host 0.0.0.0=5000 is no host and port"],
  [/M-SEARCH request/, "an asterisk is for OPTIONS (RFC 9112 §3.2.4)"],
  [/No HTTP version/, "HTTP/0.9 is not spoken"],
  [/HTTP version 0\.9/, "HTTP/1.0 and HTTP/1.1 only"],
  [
    /`chunked` before other transfer-encoding|chunked is not the last one|does not enable chunked enconding/,
    "a coding we never offered: 502, not a guess",
  ],
];
const used = new Set<RegExp>();

describe("llhttp's request cases", () => {
  for (const one of load("llhttp-requests.json")) {
    if (one.meta.skipBody === true) continue;
    it(one.name.split(" / ").slice(-2).join(" / "), () => check("request", one, withHosts(one.input)));
  }
});

describe("llhttp's response cases", () => {
  for (const one of load("llhttp-responses.json")) {
    if (one.meta.skipBody === true) continue;
    it(one.name.split(" / ").slice(-2).join(" / "), () => check("response", one, one.input));
  }
});

it("the table of deviations holds no entry that is not needed", () => {
  assert.deepEqual(
    stricter.filter(([name]) => !used.has(name)),
    [],
  );
});

function check(kind: "request" | "response", one: Case, input: string): void {
  const ours = read(kind, input, input.length);
  assert.deepEqual(read(kind, input, 1), ours, "the same verdict byte by byte");
  const theirs: Verdict = { messages: one.messages, error: one.error };
  if (theirs.error?.startsWith("Pause on") === true) {
    // llhttp hands over to whoever speaks the new protocol. We do so if we serve the switch, and else read on as HTTP.
    assert.ok(ours.messages <= theirs.messages);
  } else if (theirs.error !== null) {
    // What a field says we judge when the head is complete; these inputs stop before.
    const verdict = ours.error === null ? read(kind, `${input}\r\n`, input.length + 2) : ours;
    assert.notEqual(verdict.error, null, `we accept what llhttp refuses with "${theirs.error}"`);
    assert.ok(ours.messages <= theirs.messages, "and not one message more than it");
  } else {
    const reason = stricter.find(([name]) => name.test(one.name));
    if (reason !== undefined && ours.error !== null) used.add(reason[0]);
    else assert.deepEqual(ours, theirs);
  }
}
