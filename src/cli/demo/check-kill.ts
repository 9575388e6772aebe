/** 3: one of two orders instances loses power under load, and nobody notices. */
import { type Check, type CheckResult, ms, pause, type Stage } from "./check.ts";
import { endpointsOf, eventually } from "./scrape.ts";

export const killedUnderLoad: Check = { name: "an orders instance killed under load, no request failed", run };

async function run({ fleet, load }: Stage): Promise<CheckResult> {
  const [victim] = fleet.of("orders");
  const [caller] = fleet.of("web");
  const startedAtMs = performance.now();
  await fleet.kill(victim!);
  const { inbound } = victim!.facts;
  const see = async () => (await endpointsOf(caller!.facts.admin, "orders")).find(({ address }) => address === inbound);

  // Ejected, or already gone from the list because its lease ended: either way nothing is sent there any more.
  const ejected = await eventually(5_000, async () => {
    const endpoint = await see();
    return endpoint === undefined
      ? "unlisted"
      : endpoint.ejected
        ? `breaker ${endpoint.breaker}, source ${endpoint.source}`
        : null;
  });
  await pause(500);
  await fleet.revive(victim!);
  const revivedAtMs = performance.now();
  const recovered = await eventually(10_000, async () => ((await see())?.ejected === false ? true : null));
  // Recovered means that it answers again, not only that it may.
  const serving = await eventually(3_000, async () =>
    (load.report(revivedAtMs).byInstance[victim!.options.instance] ?? 0) > 0 ? load.report(revivedAtMs) : null,
  );
  const { sent, failed, firstFailure } = load.report(startedAtMs);
  const name = victim!.options.instance;
  return {
    ok: failed === 0 && sent > 0 && ejected !== null && recovered !== null && serving !== null,
    evidence: [
      `${sent} requests sent meanwhile, ${failed} failed${failed > 0 ? `, first: ${firstFailure}` : ""}`,
      ejected === null
        ? `${name} (${inbound}) was not ejected by ${caller!.options.instance}`
        : `${name} killed (SIGKILL, application and sidecar), out of ${caller!.options.instance}'s rotation ${ms(ejected.tookMs)} later: ${ejected.found}`,
      recovered === null || serving === null
        ? `${name} was started again and did not come back into rotation`
        : `started again, back in rotation ${ms(performance.now() - revivedAtMs)} later, ${serving.found.byInstance[name]} requests answered since`,
    ],
  };
}
