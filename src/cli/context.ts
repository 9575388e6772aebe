/** The context: a directory that says where the mesh is and who I am there, as a kubeconfig does. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MeshError } from "../errors.ts";
import { rootFingerprint } from "../identity/fingerprint.ts";
import type { Settings } from "./settings.ts";

/** `context.json` */
export interface ContextFacts {
  readonly control: string;
  readonly mesh: string;
  readonly trustDomain: string;
  /** "sha256:<hex>" of the root certificate. */
  readonly rootFingerprint: string;
}

/** What an operator verb needs to reach the control plane. */
export interface ControlAccess {
  readonly control: string;
  readonly rootPem: string;
  readonly operatorToken: string;
}

const advice =
  "start `fetchmesh dev` in this directory, or pass --dir DIR, or --control URL --ca FILE --operator-token-file FILE";

/** Where the context's files are. `ca` exists only where the CA runs. */
export function contextPaths(dir: string): { facts: string; root: string; operatorToken: string; ca: string } {
  return {
    facts: join(dir, "context.json"),
    root: join(dir, "root.pem"),
    operatorToken: join(dir, "operator.token"),
    ca: join(dir, "ca"),
  };
}

/**
 * What the context directory says, or null if there is none.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if it is there and unusable
 */
export function readContextFacts(dir: string): ContextFacts | null {
  const path = contextPaths(dir).facts;
  if (!existsSync(path)) return null;
  try {
    const facts = JSON.parse(readFileSync(path, "utf8")) as Partial<ContextFacts>;
    const { control, mesh, trustDomain, rootFingerprint: fingerprint } = facts;
    if (typeof control !== "string" || typeof mesh !== "string" || typeof trustDomain !== "string") {
      throw new Error('"control", "mesh" and "trustDomain" must be texts');
    }
    return { control, mesh, trustDomain, rootFingerprint: fingerprint ?? "" };
  } catch (error) {
    throw new MeshError("ERR_OPTION_INVALID", `The context "${path}" cannot be read`, { cause: error, advice });
  }
}

/**
 * The control plane to talk to and the right to do so: from the context, each part replaced by its flag.
 *
 * @throws {MeshError} ERR_OPTION_INVALID if a part is found nowhere
 */
export function controlAccess(settings: Settings): ControlAccess {
  const dir = settings.need("dir");
  const paths = contextPaths(dir);
  const caFile = settings.get("ca");
  const tokenFile = settings.get("operator-token-file");
  const facts = readContextFacts(dir);
  const control = settings.get("control") ?? facts?.control;
  if (control === undefined) {
    throw new MeshError("ERR_OPTION_INVALID", `No mesh is known here: there is no context in "${dir}"`, { advice });
  }
  const rootPem = readPart(caFile ?? paths.root, "the mesh's root certificate", "--ca FILE");
  // With --ca the caller says whom to trust; the context's fingerprint is about the context's own root.
  if (caFile === undefined && facts !== null) checkFingerprint(rootPem, facts, paths.root);
  const operatorToken = readPart(
    tokenFile ?? paths.operatorToken,
    "the operator's token",
    "--operator-token-file FILE",
  ).trim();
  return { control, rootPem, operatorToken };
}

function checkFingerprint(rootPem: string, facts: ContextFacts, path: string): void {
  if (facts.rootFingerprint === "" || facts.rootFingerprint === fingerprintOf(rootPem)) return;
  throw new MeshError("ERR_OPTION_INVALID", `"${path}" is not the root certificate that the context was made with`, {
    advice: "start `fetchmesh dev` or `fetchmesh control` again with this --dir: it writes a new context",
  });
}

/** Of what may not be a certificate at all: then it is nobody's. */
function fingerprintOf(pem: string): string {
  try {
    return rootFingerprint(pem);
  } catch {
    return "none";
  }
}

function readPart(path: string, what: string, flag: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new MeshError("ERR_OPTION_INVALID", `Cannot read ${what} from "${path}"`, {
      cause: error,
      advice: `pass ${flag}, or ${advice}`,
    });
  }
}
