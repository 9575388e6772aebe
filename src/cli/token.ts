/** `fetchmesh token create` */
import { controlAccess } from "./context.ts";
import { ControlClient } from "./control-client.ts";
import { UsageError } from "./usage-error.ts";
import type { Invocation } from "./verbs.ts";

export async function token({ settings, args, output }: Invocation): Promise<number> {
  if (args[0] !== "create") throw new UsageError(`cannot do "${args[0]}" with a token: expected create`);
  const client = new ControlClient(controlAccess(settings));
  const created = await client.createToken({
    kind: settings.need("kind"),
    service: settings.need("service"),
    namespace: settings.need("namespace"),
    ttlMs: settings.need("ttl"),
  });
  await output.result(created, () => created.token);
  return 0;
}
