import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { commonFlags, environmentName, flags } from "../../src/cli/options.ts";
import type { FlagName } from "../../src/cli/options.ts";
import { resolveSettings } from "../../src/cli/settings.ts";
import type { Settings, SettingsRequest } from "../../src/cli/settings.ts";
import { UsageError } from "../../src/cli/usage-error.ts";
import { verbs } from "../../src/cli/verbs.ts";

type Given = Partial<Omit<SettingsRequest, "names" | "typed" | "readFile">> & {
  readonly typed?: Partial<Record<FlagName, readonly string[]>>;
  readonly file?: Partial<Record<FlagName, readonly string[]>>;
};

function resolve(names: readonly FlagName[], given: Given = {}): Promise<Settings> {
  const fileSettings = Object.entries(given.file ?? {}).map(
    ([name, texts]) => [name as FlagName, { texts, place: `mesh.yaml:1:1 "${name}"` }] as const,
  );
  return resolveSettings({
    names: [...names, "config"],
    typed: new Map(Object.entries(given.typed ?? {})) as SettingsRequest["typed"],
    environment: { ...(given.file && { FETCHMESH_CONFIG: "mesh.yaml" }), ...given.environment },
    readFile: async () => new Map(fileSettings),
    fallbacks: given.fallbacks ?? {},
    required: given.required ?? [],
  });
}

const refusal = (pattern: RegExp) => (error: unknown) => error instanceof UsageError && pattern.test(error.message);

describe("resolveSettings()", () => {
  it("lets the flag beat the environment, the environment the file, and the file the default", async () => {
    const file = { listen: ["127.0.0.1:3"] };
    const environment = { FETCHMESH_LISTEN: "127.0.0.1:2" };
    const typed = { listen: ["127.0.0.1:1"] };
    const portOf = async (given: Given) => (await resolve(["listen"], given)).need("listen").port;
    assert.equal(await portOf({ typed, environment, file }), 1);
    assert.equal(await portOf({ environment, file }), 2);
    assert.equal(await portOf({ file }), 3);
    assert.equal(await portOf({}), 15010);
  });

  it("uses the verb's default instead of the flag's, and none where the verb has none", async () => {
    assert.equal((await resolve(["inbound"], { fallbacks: { inbound: "127.0.0.1:0" } })).need("inbound").port, 0);
    assert.equal((await resolve(["mesh"], { fallbacks: { mesh: null } })).get("mesh"), undefined);
  });

  it("says where a bad text came from and what was expected", async () => {
    await assert.rejects(resolve(["listen"], { typed: { listen: ["12"] } }), refusal(/--listen.*"12".*HOST:PORT/));
    await assert.rejects(resolve(["ttl"], { environment: { FETCHMESH_TTL: "soon" } }), refusal(/FETCHMESH_TTL.*10s/));
    await assert.rejects(resolve(["mtls"], { file: { mtls: ["maybe"] } }), refusal(/mesh\.yaml:1:1 "mtls".*strict/));
  });

  it("never shows a secret", async () => {
    await assert.rejects(
      resolve(["token"], { typed: { token: [""] } }),
      (error: unknown) => error instanceof UsageError && error.message.includes("--token"),
    );
  });

  it("names every required flag that is missing", async () => {
    await assert.rejects(
      resolve(["service", "app"], { required: ["service", "app"] }),
      refusal(/--service.*\n.*--app/),
    );
  });

  it("collects a repeatable flag from the command line, a list variable and a list in the file", async () => {
    const expected = [
      { service: "orders", port: 9001 },
      { service: "stock", port: 9002 },
    ];
    const texts = ["orders=9001", "stock=9002"];
    assert.deepEqual((await resolve(["upstream"], { typed: { upstream: texts } })).need("upstream"), expected);
    assert.deepEqual((await resolve(["upstream"], { file: { upstream: texts } })).need("upstream"), expected);
    const environment = { FETCHMESH_UPSTREAM: "orders=9001, stock=9002" };
    assert.deepEqual((await resolve(["upstream"], { environment })).need("upstream"), expected);
    assert.deepEqual((await resolve(["upstream"])).need("upstream"), []);
  });

  it("takes an empty variable as absent, as shells write it", async () => {
    assert.equal((await resolve(["zone"], { environment: { FETCHMESH_ZONE: "" } })).get("zone"), undefined);
  });

  it("knows what was given and what is a default", async () => {
    const settings = await resolve(["listen", "mesh"], { typed: { mesh: ["blue"] } });
    assert.equal(settings.isGiven("mesh"), true);
    assert.equal(settings.isGiven("listen"), false);
  });
});

describe("flags", () => {
  it("have defaults that they accept themselves", () => {
    for (const flag of Object.values(flags)) {
      if (flag.fallback !== undefined) assert.notEqual(flag.kind.read(flag.fallback), undefined, flag.fallback);
    }
  });

  it("are all used by a verb, and each verb's defaults and requirements are flags of its own", () => {
    const used = new Set<FlagName>(commonFlags);
    for (const verb of verbs) {
      for (const name of verb.flags) used.add(name);
      for (const name of Object.keys(verb.fallbacks ?? {}))
        assert.ok(verb.flags.includes(name as FlagName), `${verb.name} ${name}`);
      for (const name of verb.required ?? []) assert.ok(verb.flags.includes(name), `${verb.name} ${name}`);
    }
    assert.deepEqual(
      Object.keys(flags).filter((name) => !used.has(name as FlagName)),
      [],
    );
  });

  it("map one to one to environment variables", () => {
    assert.equal(environmentName("inbound-h2"), "FETCHMESH_INBOUND_H2");
  });
});
