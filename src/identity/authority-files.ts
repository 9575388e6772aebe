/** Where a CA lies: one directory whose files only their owner reads. */
import { MeshError } from "../errors.ts";
import {
  initAuthority,
  openAuthority,
  type Authority,
  type AuthorityMaterial,
  type AuthorityOptions,
  type OpenAuthorityOptions,
} from "./authority.ts";

/** A directory, injected. `write` replaces a file as a whole and makes it readable by its owner alone (0600). */
export interface AuthorityFiles {
  /** Null if there is no such file. */
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

const names = {
  rootKeyPem: "root.key",
  intermediatePem: "intermediate.pem",
  intermediateKeyPem: "intermediate.key",
  tokenKey: "token.key",
  rootsPem: "root.pem",
} as const;

/** Takes up the CA in `files`, or makes one if there is none. */
export async function loadAuthority(
  files: AuthorityFiles,
  options: AuthorityOptions & Pick<OpenAuthorityOptions, "issued" | "failed">,
): Promise<Authority> {
  let material = await readMaterial(files);
  if (material === null) {
    material = await initAuthority(options);
    await writeMaterial(files, material);
  }
  return await openAuthority({ ...options, material, saved: (renewed) => writeMaterial(files, renewed) });
}

/** @throws {MeshError} ERR_OPTION_INVALID if only a part is there: a lost key is never silently replaced by a new CA */
export async function readMaterial(files: AuthorityFiles): Promise<AuthorityMaterial | null> {
  const rootsPem = await files.read(names.rootsPem);
  // Written last: without it no certificate was ever issued.
  if (rootsPem === null) return null;
  const need = async (name: string): Promise<string> => {
    const text = await files.read(name);
    if (text !== null) return text;
    throw new MeshError("ERR_OPTION_INVALID", `The CA is incomplete: ${name} is missing`, {
      advice: "Restore it from a backup, or start in a new directory: every workload then has to join again.",
    });
  };
  return {
    rootsPem,
    rootKeyPem: await files.read(names.rootKeyPem),
    intermediatePem: await need(names.intermediatePem),
    intermediateKeyPem: await need(names.intermediateKeyPem),
    tokenKey: await need(names.tokenKey),
  };
}

async function writeMaterial(files: AuthorityFiles, material: AuthorityMaterial): Promise<void> {
  if (material.rootKeyPem !== null) await files.write(names.rootKeyPem, material.rootKeyPem);
  await files.write(names.intermediateKeyPem, material.intermediateKeyPem);
  await files.write(names.intermediatePem, material.intermediatePem);
  await files.write(names.tokenKey, material.tokenKey);
  await files.write(names.rootsPem, material.rootsPem);
}
