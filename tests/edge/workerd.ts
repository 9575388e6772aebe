/** A worker in real workerd, bundled as a deployment would be: one file, nothing of Node. */
import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { eventually, tempDir } from "../support/ports.ts";

const root: string = join(import.meta.dirname ?? "", "..", "..");

export interface Bundle {
  readonly text: string;
  readonly gzipBytes: number;
  /** Every file that the bundler looked at. */
  readonly inputs: readonly string[];
  /** Those of which something is left in the text. */
  readonly used: readonly string[];
  /** What it left to the platform. */
  readonly external: readonly string[];
}

/** @param entry path from the root of the repository */
export async function bundle(entry: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: "out",
    bundle: true,
    write: false,
    minify: true,
    metafile: true,
    format: "esm",
    target: "es2022",
    // Not node, not browser: what is not in the sources is an error.
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "import"],
    logLevel: "silent",
  });
  const { text, contents } = outputFiles[0]!;
  return {
    text,
    gzipBytes: gzipSync(contents).length,
    inputs: Object.keys(metafile.inputs),
    used: used(metafile),
    external: externals(metafile),
  };
}

function used({ outputs }: Metafile): string[] {
  return Object.values(outputs).flatMap(({ inputs }) =>
    Object.keys(inputs).filter((file) => inputs[file]!.bytesInOutput > 0),
  );
}

function externals({ outputs }: Metafile): string[] {
  return Object.values(outputs).flatMap(({ imports }) =>
    imports.filter(({ external }) => external === true).map(({ path }) => path),
  );
}

export interface WorkerOptions {
  /** JSON bindings by name. */
  readonly json?: Readonly<Record<string, unknown>>;
  readonly text?: Readonly<Record<string, string>>;
  /** Roots that the worker's `fetch` believes besides nobody. */
  readonly rootPem?: string;
}

export interface Worker {
  readonly url: string;
  /** Everything it wrote. */
  output(): string;
  stop(): Promise<void>;
}

export async function startWorker(script: string, options: WorkerOptions = {}): Promise<Worker> {
  const folder = tempDir("fetchmesh-workerd");
  writeFileSync(join(folder.path, "worker.js"), script);
  writeFileSync(join(folder.path, "config.capnp"), config(options));
  if (options.rootPem !== undefined) writeFileSync(join(folder.path, "root.pem"), options.rootPem);
  // Descriptor 3 gets the ports that were chosen.
  const child = spawn(findWorkerd(), ["serve", "--control-fd=3", "config.capnp"], {
    cwd: folder.path,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  let output = "";
  let control = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  (child.stdio[3] as Readable).setEncoding("utf8").on("data", (text: string) => (control += text));
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    folder.remove();
  };
  try {
    const port = await eventually("workerd to listen", () => {
      if (child.exitCode !== null) throw new Error(output);
      return /"port":(\d+)/.exec(control)?.[1];
    });
    return { url: `http://127.0.0.1:${port}`, output: () => output, stop };
  } catch (error) {
    await stop();
    throw new Error(`workerd did not start: ${output}`, { cause: error });
  }
}

function config({ json = {}, text = {}, rootPem }: WorkerOptions): string {
  const bindings = [
    ...Object.entries(json).map(
      ([name, value]) => `(name = "${name}", json = ${JSON.stringify(JSON.stringify(value))})`,
    ),
    ...Object.entries(text).map(([name, value]) => `(name = "${name}", text = ${JSON.stringify(value)})`),
  ];
  const tls = rootPem === undefined ? "" : `, tlsOptions = (trustedCertificates = [embed "root.pem"])`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (allow = ["private"]${tls})),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "edge")],
  v8Flags = ["--expose-gc"],
);
const edge :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["no_nodejs_compat", "no_nodejs_compat_v2"],
  bindings = [${bindings.join(", ")}],
);
`;
}

function findWorkerd(): string {
  const paths = [
    process.env["WORKERD"] ?? "",
    join(root, ".cache/bin/workerd"),
    join(root, "node_modules/.bin/workerd"),
  ];
  return paths.find((path) => path !== "" && existsSync(path)) ?? "workerd";
}
