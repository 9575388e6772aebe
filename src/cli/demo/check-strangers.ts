/** 2: who is not of the mesh gets nothing from an inbound port. */
import { connect as connectPlain } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Scrape } from "../../observe/prometheus-text.ts";
import { type Check, type CheckResult, pause, type Stage } from "./check.ts";
import { makeForeignIdentity } from "./foreign-identity.ts";
import { scrape } from "./scrape.ts";

export const strangersRefused: Check = { name: "plaintext and a foreign CA refused at an inbound port", run };

const request = "GET /orders/1 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";

async function run({ fleet }: Stage): Promise<CheckResult> {
  const [target] = fleet.of("orders");
  const { inbound, admin } = target!.facts;
  const colon = inbound.lastIndexOf(":");
  const address = { host: inbound.slice(0, colon), port: Number(inbound.slice(colon + 1)) };
  // It claims to be web, in the right trust domain; only its CA is another.
  const foreign = await makeForeignIdentity("spiffe://mesh.local/ns/default/sa/web");
  const before = await scrape(admin);

  const plaintext = await attempt(connectPlain(address));
  const stranger = await attempt(
    connectTls({
      ...address,
      cert: foreign.certificateChainPem,
      key: foreign.privateKeyPem,
      // The stranger takes any server: it is the server's refusal that is looked at.
      rejectUnauthorized: false,
    }),
  );
  const anonymous = await attempt(connectTls({ ...address, rejectUnauthorized: false }));
  // Metrics are counted when the sidecar closes its side, a moment after we saw it.
  await pause(100);
  const reasons = refusals(await scrape(admin), before);

  const tries = [
    { what: "plaintext HTTP", outcome: plaintext },
    { what: "certificate of a foreign CA for …/sa/web", outcome: stranger },
    { what: "no certificate", outcome: anonymous },
  ];
  return {
    ok: tries.every(({ outcome }) => !outcome.isServed) && Object.keys(reasons).length > 0,
    evidence: [
      ...tries.map(({ what, outcome }) => `${what} → ${inbound}: ${outcome.seen}`),
      `reasons the sidecar counted: ${
        Object.entries(reasons)
          .map(([reason, count]) => `${reason} ${count}`)
          .join(", ") || "none"
      }`,
    ],
  };
}

interface Outcome {
  /** The application, or anything that looks like it, answered. */
  readonly isServed: boolean;
  readonly seen: string;
}

/** Sends a request as soon as something is connected, and tells what came back until the connection ended. */
function attempt(socket: ReturnType<typeof connectPlain>): Promise<Outcome> {
  return new Promise((resolve) => {
    let received = "";
    let failure = "";
    const timer = setTimeout(() => socket.destroy(), 3_000);
    // With TLS 1.3 a client is connected before its certificate was looked at; the refusal comes after.
    socket.once("connect", () => {
      if (!("encrypted" in socket)) socket.write(request);
    });
    socket.once("secureConnect", () => socket.write(request));
    socket.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")));
    socket.on("error", (error: NodeJS.ErrnoException) => (failure = error.code ?? error.message));
    socket.once("close", () => {
      clearTimeout(timer);
      const isServed = received.startsWith("HTTP/");
      resolve({ isServed, seen: isServed ? received.split("\r\n", 1)[0]! : describeSilence(received, failure) });
    });
  });
}

/** A connection that ended without HTTP: with an alert in TLS's own record, with an error, or just so. */
function describeSilence(received: string, failure: string): string {
  const isAlert = received.charCodeAt(0) === 0x15;
  const reason = failure === "" ? "" : ` (${failure})`;
  return isAlert ? `closed with a TLS alert instead of a reply${reason}` : `closed without a reply${reason}`;
}

function refusals(now: Scrape, before: Scrape): Record<string, number> {
  const reasons = new Set(now.select(metricName).map(({ labels }) => labels["reason"] ?? ""));
  const grown = [...reasons].map(
    (reason) => [reason, now.sum(metricName, { reason }) - before.sum(metricName, { reason })] as const,
  );
  return Object.fromEntries(grown.filter(([, more]) => more > 0));
}

const metricName = "fetchmesh_handshakes_refused_total";
