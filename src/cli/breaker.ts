/** `fetchmesh breaker open|close|reset` */
import type { BreakerTarget } from "./operator.ts";
import { label, oneOf } from "./parse.ts";
import { asOperator } from "./publishing.ts";
import { UsageError } from "./usage-error.ts";
import type { Invocation } from "./verbs.ts";

const actions = oneOf("open", "close", "reset");

export async function breaker({ settings, args, output }: Invocation): Promise<number> {
  const action = actions.read(args[0] ?? "");
  if (action === undefined) throw new UsageError(`cannot do "${args[0]}" to a breaker: expected ${actions.expected}`);
  const target = readTarget(args[1] ?? "", settings.need("namespace"));
  return asOperator(settings, output, [], async (operator) => {
    const forced =
      action === "reset"
        ? await operator.resetBreaker(target)
        : await operator.forceBreaker(
            target,
            action === "open" ? "forced-open" : "forced-closed",
            settings.need("for"),
          );
    const what =
      forced.endpoint === null ? `every endpoint of ${forced.service}` : `${forced.service}/${forced.endpoint}`;
    await output.result(forced, () =>
      forced.until === null ? `${what}: ${forced.state}` : `${what}: ${forced.state} until ${forced.until}`,
    );
    return 0;
  });
}

/** `SERVICE[.NAMESPACE][/ENDPOINT]` */
function readTarget(text: string, namespace: string): BreakerTarget {
  const slash = text.indexOf("/");
  const [service = "", ownNamespace = namespace] = (slash < 0 ? text : text.slice(0, slash)).split(".");
  const endpoint = slash < 0 ? null : text.slice(slash + 1);
  if (label.read(service) === undefined || label.read(ownNamespace) === undefined || endpoint === "") {
    throw new UsageError(
      `cannot find a service in "${text}": expected SERVICE or SERVICE/HOST:PORT, for example orders/127.0.0.1:15006`,
    );
  }
  return { service, namespace: ownNamespace, endpoint };
}
