/** 5: who found a sick endpoint tells the others; who never called it does not have to fail first. */
import { type Check, type CheckResult, ms, type Stage } from "./check.ts";
import type { Member } from "./fleet.ts";
import { call } from "./http.ts";
import { endpointsOf, eventually, scrape } from "./scrape.ts";

export const toldByOthers: Check = { name: "a sick instance found by some, avoided by all (fleet breaker)", run };

async function run({ fleet, load }: Stage): Promise<CheckResult> {
  const [sick] = fleet.of("orders");
  const [fresh] = fleet.of("reports");
  const finders = fleet.of("web");
  const { inbound } = sick!.facts;
  const startedAtMs = performance.now();
  const attemptsBefore = await attempts(fresh!, inbound);
  await call(sick!.app, "/-/sick", { method: "POST" });
  try {
    const found = await Promise.all(finders.map((finder) => eventually(5_000, async () => openFor(finder, inbound))));
    const told = await eventually(3_000, async () => {
      const source = await openFor(fresh!, inbound);
      return source === "quorum" ? source : null;
    });
    // The first calls it ever makes to orders.
    const statuses = await Promise.all(
      Array.from(
        { length: 20 },
        async () => (await call(fresh!.facts.outbound, "/orders/1", { headers: { host: "orders" } })).status,
      ),
    );
    const good = statuses.filter((status) => status === 200).length;
    const sentToSick = (await attempts(fresh!, inbound)) - attemptsBefore;
    const { sent, failed, firstFailure } = load.report(startedAtMs);
    const foundBy = finders.flatMap((finder, index) => {
      const result = found[index];
      return result ? [`${finder.options.instance} after ${ms(result.tookMs)} (${result.found})`] : [];
    });
    return {
      ok:
        foundBy.length === finders.length &&
        told !== null &&
        good === statuses.length &&
        sentToSick === 0 &&
        failed === 0,
      evidence: [
        `${sick!.options.instance} answers 500 to everything; breaker open at ${foundBy.join(" and ") || "nobody"}`,
        told === null
          ? `${fresh!.options.instance}, which had never called it, was not told`
          : `${fresh!.options.instance}, which had never called it, has it open by quorum ${ms(told.tookMs)} later`,
        `its first ${statuses.length} calls: ${good} answered 200, ${sentToSick} attempts went to the sick instance`,
        `${sent} requests sent meanwhile, ${failed} failed${failed > 0 ? `, first: ${firstFailure}` : ""}`,
      ],
    };
  } finally {
    await call(sick!.app, "/-/well", { method: "POST" });
  }
}

/** Who decided that the breaker of `endpoint` is open, as `member` sees it; null while it is not. */
async function openFor(member: Member, endpoint: string): Promise<string | null> {
  const found = (await endpointsOf(member.facts.admin, "orders")).find(({ address }) => address === endpoint);
  return found !== undefined && found.breaker !== "closed" ? found.source : null;
}

async function attempts(member: Member, endpoint: string): Promise<number> {
  return (await scrape(member.facts.admin)).sum("fetchmesh_attempts_total", { endpoint });
}
