/** `fetchmesh ca init|export` */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { rootFingerprint } from "../identity/fingerprint.ts";
import { currentRuntime } from "../runtime/current.ts";
import { contextPaths } from "./context.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";
import { UsageError } from "./usage-error.ts";
import type { Invocation } from "./verbs.ts";

export async function ca({ settings, args, output }: Invocation): Promise<number> {
  if (args[0] === "init") return init(settings, output);
  if (args[0] === "export") return show(readRoot(settings), output);
  throw new UsageError(`cannot do "${args[0]}" with a CA: expected init or export`);
}

/** Makes a CA where there is none; `control` and `dev` with the same --dir take it up. */
async function init(settings: Settings, output: Output): Promise<number> {
  const paths = contextPaths(settings.need("dir"));
  if (existsSync(join(paths.ca, "root.pem"))) {
    throw new MeshError("ERR_OPTION_INVALID", `There is a CA in "${paths.ca}" already`, {
      advice:
        "use it (fetchmesh ca export shows its root), or take another --dir: a new CA would leave every workload without trust",
    });
  }
  const { loadAuthority } = await import("../identity/authority-files.ts");
  const options = { mesh: settings.need("mesh"), trustDomain: settings.need("trust-domain"), clock: systemClock };
  const { files } = currentRuntime();
  const inCa = {
    read: (name: string) => files.readText(join(paths.ca, name)),
    write: (name: string, text: string) => files.writeAtomic(join(paths.ca, name), text, 0o600),
  };
  const authority = await loadAuthority(inCa, options);
  const pem = authority.rootsPem.join("");
  mkdirSync(settings.need("dir"), { recursive: true });
  writeFileSync(paths.root, pem);
  await output.message(`made a CA for trust domain ${authority.trustDomain} in ${paths.ca}: keep root.key safe`);
  return show(pem, output);
}

/** From where the CA runs, else from the context. */
function readRoot(settings: Settings): string {
  const paths = contextPaths(settings.need("dir"));
  for (const path of [settings.get("ca") ?? join(paths.ca, "root.pem"), paths.root]) {
    if (existsSync(path)) return readFileSync(path, "utf8");
  }
  throw new MeshError("ERR_OPTION_INVALID", `There is no CA in "${settings.need("dir")}"`, {
    advice: "make one with fetchmesh ca init, or start fetchmesh dev, or pass --dir DIR",
  });
}

async function show(pem: string, output: Output): Promise<number> {
  await output.result({ root: pem, fingerprint: rootFingerprint(pem) }, () => pem.trimEnd());
  return 0;
}
