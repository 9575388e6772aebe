/** The application behind every system: it answers at once, so that nobody waits for it. */
import { join } from "node:path";
import { startProcess } from "../../tests/support/processes.ts";
import { nginxVersion, startNginxApp } from "./nginx.ts";

export interface App {
  readonly title: string;
  readonly port: number;
  stop(): Promise<void>;
}

/** nginx if there is one: nothing at hand answers more requests per second. */
export async function startApp(folder: string, body: string): Promise<App> {
  const version = nginxVersion();
  if (version !== undefined) return { title: `nginx ${version}`, ...(await startNginxApp(folder, body)) };
  const server = startProcess("node", [join(import.meta.dirname, "app-process.ts"), body]);
  const { port } = await server.ready();
  return { title: "node:http", port: Number(port), stop: async () => void (await server.stop()) };
}
