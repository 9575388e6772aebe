/** What is measured: a way from a client to the application, and the processes that the way costs. */

export type Runtime = "bun" | "deno" | "node";

export interface System {
  /** Short and stable: the key in JSON. */
  readonly id: string;
  readonly title: string;
  /** Where the load goes. The request asks for `Host: api`. */
  readonly port: number;
  /** The sidecars; their children count too. The application and the client never do. */
  readonly pids: readonly number[];
  /** Configuration that a reader needs to judge the comparison, by name. */
  readonly configuration: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** What every system of a run shares. */
export interface Setting {
  /** Temporary folder of this run. */
  readonly folder: string;
  readonly appPort: number;
  readonly certificates: Certificates;
}

/** Folders with `svid.pem`, `svid_key.pem` and `bundle.pem`, the same for every system. */
export interface Certificates {
  readonly caller: string;
  readonly api: string;
}

/** DNS name in the certificate of `api`, for peers that do not know SPIFFE IDs. */
export const apiDnsName = "api.mesh.local";
