/** The mesh of the demo: a control plane, and services each with its sidecar, all processes of their own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { randomHex } from "../../random.ts";
import { Child } from "./child.ts";
import { forgetMesh } from "./forget-mesh.ts";
import { freePort } from "./http.ts";
import { launcher, type RuntimeName } from "./programs.ts";

export interface FleetOptions {
  readonly store: string;
  /** The runtime of the n-th sidecar. */
  readonly runtimeOf: (index: number) => RuntimeName;
}

export interface MemberOptions {
  readonly service: string;
  readonly instance: string;
  /** How the application is started; absent for a service that only calls. */
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** The part of a sidecar's ready line that the demo uses. Addresses are `host:port`. */
export interface SidecarFacts {
  readonly outbound: string;
  readonly inbound: string;
  readonly admin: string;
  readonly runtime: string;
  readonly spiffeId: string;
}

/** One instance of a service. */
export interface Member {
  readonly options: MemberOptions;
  readonly runtime: RuntimeName;
  /** Where the application listens. */
  readonly app: string;
  facts: SidecarFacts;
  sidecar: Child;
  application: Child | null;
}

const serviceOrder: readonly string[] = ["web", "reports", "orders", "orders-canary", "inventory"];

export class Fleet {
  readonly dir: string = mkdtempSync(join(tmpdir(), "fetchmesh-demo-"));
  /** Of its own in a shared store: another demo, or a real mesh, is not disturbed. */
  readonly mesh: string = `demo-${randomHex(4)}`;
  readonly members: Member[] = [];
  readonly #options: FleetOptions;
  readonly #children = new Set<Child>();
  #control: Child | null = null;
  #count = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    // Whatever happens to this process, none of the others is left behind.
    process.once("exit", () => {
      for (const child of this.#children) if (!child.hasEnded) void child.kill();
      rmSync(this.dir, { recursive: true, force: true });
    });
  }

  /** Starts the control plane; resolves to its URL. */
  async start(): Promise<string> {
    const { store } = this.#options;
    const args = ["control", "--dir", this.dir, "--listen", "127.0.0.1:0", "--mesh", this.mesh, "--store", store];
    this.#control = this.#spawn("control", [launcher, ...args], {});
    // Half a second where all is well; who waits longer is waiting for the store, and says so.
    return String((await this.#control.ready(8_000))["control"]);
  }

  /** Starts a sidecar, then the application that calls through it. */
  async add(options: MemberOptions): Promise<Member> {
    // Before the first await: the same service always gets the same runtime.
    const runtime = this.#options.runtimeOf(this.#count++);
    const app = `127.0.0.1:${await freePort()}`;
    // Chosen here and not by the sidecar: one that is started again comes back to it.
    const sidecar = this.#spawnSidecar(options, runtime, app, `127.0.0.1:${await freePort()}`);
    const member: Member = { options, runtime, app, facts: await factsOf(sidecar), sidecar, application: null };
    this.members.push(member);
    await this.#startApplication(member);
    return member;
  }

  /** Kills application and sidecar at once, as a machine that loses power does. */
  async kill(member: Member): Promise<void> {
    await Promise.all([member.sidecar.kill(), member.application?.kill()]);
  }

  /** Starts a killed member again where it was. */
  async revive(member: Member): Promise<void> {
    member.sidecar = this.#spawnSidecar(member.options, member.runtime, member.app, member.facts.inbound);
    member.facts = await factsOf(member.sidecar);
    await this.#startApplication(member);
  }

  of(service: string): readonly Member[] {
    return this.inOrder().filter(({ options }) => options.service === service);
  }

  /** Callers before those they call. */
  inOrder(): readonly Member[] {
    const key = ({ options }: Member): string => `${serviceOrder.indexOf(options.service)} ${options.instance}`;
    return this.members.toSorted((a, b) => key(a).localeCompare(key(b)));
  }

  /** Drains the callers before those they call, the control plane last. */
  async stop(): Promise<void> {
    for (const service of serviceOrder) {
      const members = this.of(service);
      await Promise.all(members.flatMap(({ application }) => application?.stop() ?? []));
      await Promise.all(members.map(({ sidecar }) => sidecar.stop()));
    }
    await this.#control?.stop();
    // What was on its way up when the demo was stopped.
    await Promise.all([...this.#children].map((child) => child.stop()));
    if (this.#options.store.startsWith("redis")) await forgetMesh(this.#options.store, this.mesh);
    rmSync(this.dir, { recursive: true, force: true });
  }

  #spawnSidecar({ service, instance }: MemberOptions, runtime: RuntimeName, app: string, inbound: string): Child {
    const free = ["--outbound", "--inbound-h2", "--admin", "--health"].flatMap((flag) => [flag, "127.0.0.1:0"]);
    const args = [
      "sidecar",
      "--dir",
      this.dir,
      "--service",
      service,
      "--instance",
      instance,
      "--app",
      app,
      "--inbound",
      inbound,
      ...free,
    ];
    const { store } = this.#options;
    if (store.startsWith("redis")) args.push("--store", store);
    return this.#spawn(`sidecar of ${instance}`, [launcher, ...args], { FETCHMESH_RUNTIME: runtime });
  }

  async #startApplication(member: Member): Promise<void> {
    const { command, environment, instance } = member.options;
    if (command === undefined) return;
    const proxy = `http://${member.facts.outbound}`;
    const direct = "localhost,127.0.0.1,::1";
    member.application = this.#spawn(instance, command, {
      PORT: member.app.slice(member.app.lastIndexOf(":") + 1),
      INSTANCE: instance,
      HTTP_PROXY: proxy,
      http_proxy: proxy,
      NO_PROXY: direct,
      no_proxy: direct,
      NODE_USE_ENV_PROXY: "1",
      ...environment,
    });
    await member.application.line((line) => line.includes("listens on"), 10_000);
  }

  #spawn(name: string, command: readonly string[], environment: Readonly<Record<string, string>>): Child {
    const child = new Child({ name, command, environment: { ...inheritedEnvironment(), ...environment } });
    this.#children.add(child);
    void child.ended.then(() => this.#children.delete(child));
    return child;
  }
}

async function factsOf(sidecar: Child): Promise<SidecarFacts> {
  return (await sidecar.ready()) as unknown as SidecarFacts;
}

/** Settings of the demo itself (`FETCHMESH_STORE` …) are not settings of its processes. */
function inheritedEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("FETCHMESH_"));
  return Object.fromEntries(kept) as Record<string, string>;
}
