/**
 * What a runtime cannot do, as far as the contract suite is concerned. An entry skips a case with its reason; nothing in `src`
 * outside `runtime/` may know. A gap that is closed must be removed: the suite runs what is not listed.
 */
import assert from "node:assert/strict";
import { basename } from "node:path";
import process from "node:process";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { RuntimeName } from "../../src/runtime/runtime.ts";

export interface Gap {
  readonly why: string;
  readonly link: string;
}

export type Feature = "certificate-reason" | "reset-with-tls";

export const gaps: Readonly<Record<RuntimeName, Readonly<Partial<Record<Feature, Gap>>>>> = {
  bun: {},
  deno: {
    "certificate-reason": {
      why: "rustls's verdict reaches JavaScript as one code, whether a certificate expired or has the wrong issuer",
      link: "https://docs.deno.com/api/node/tls/",
    },
    "reset-with-tls": {
      why: "`resetAndDestroy()` takes TCP handles only, and a missing close_notify reads as a clean end",
      link: "https://docs.deno.com/api/node/net/~/Socket.prototype.resetAndDestroy",
    },
  },
  node: {
    "reset-with-tls": {
      why: "`resetAndDestroy()` takes TCP handles only, and a missing close_notify reads as a clean end",
      link: "https://nodejs.org/api/net.html#socketresetanddestroy",
    },
  },
};

/** Every test of a runtime begins with this: a suite that ran on the wrong one proves nothing. */
export function assertRuntime(): RuntimeName {
  const { name, version } = currentRuntime();
  const expected: RuntimeName = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";
  assert.equal(name, expected);
  assert.match(basename(process.execPath), new RegExp(`^${expected}`));
  assert.match(version, /^\d+\.\d+\.\d+/);
  return name;
}

export function gapOf(feature: Feature): Gap | undefined {
  return gaps[currentRuntime().name][feature];
}
