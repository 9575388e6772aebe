/** nginx as the application, and as the same pair of mTLS sidecars in the configuration that suits it best. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, freePort } from "../../tests/support/ports.ts";
import { startProcess, type MeshProcess } from "../../tests/support/processes.ts";
import { apiDnsName, type Setting, type System } from "../system.ts";

/** "1.22.1", or undefined if there is none. */
export function nginxVersion(): string | undefined {
  try {
    // It answers on stderr.
    return execFileSync("sh", ["-c", "nginx -v 2>&1"], { encoding: "utf8" }).match(/nginx\/([\d.]+)/)?.[1];
  } catch {
    return undefined;
  }
}

/** Answers everything at once: what is measured must not wait for it. */
export async function startNginxApp(folder: string, body: string): Promise<{ port: number; stop(): Promise<void> }> {
  const port = await freePort();
  const server = await start(
    folder,
    "app",
    port,
    `server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { default_type application/json; return 200 '${body}'; }
  }`,
  );
  return { port, stop: async () => void (await server.stop()) };
}

export async function startNginxPair(setting: Setting): Promise<System> {
  const { folder, appPort, certificates } = setting;
  const [outboundPort, inboundPort] = [await freePort(), await freePort()];
  const inboundConfig = `upstream app {
    server 127.0.0.1:${appPort};
    ${upstreamKeepAlive}
  }
  server {
    listen 0.0.0.0:${inboundPort} ssl backlog=4096;
    ssl_certificate ${certificates.api}/svid.pem;
    ssl_certificate_key ${certificates.api}/svid_key.pem;
    ssl_client_certificate ${certificates.api}/bundle.pem;
    ssl_verify_client on;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    location / {
      proxy_pass http://app;
      ${proxyKeepAlive}
    }
  }`;
  const outboundConfig = `upstream sidecar {
    server 127.0.0.1:${inboundPort};
    ${upstreamKeepAlive}
  }
  server {
    listen 127.0.0.1:${outboundPort} backlog=4096;
    location / {
      proxy_pass https://sidecar;
      ${proxyKeepAlive}
      proxy_ssl_certificate ${certificates.caller}/svid.pem;
      proxy_ssl_certificate_key ${certificates.caller}/svid_key.pem;
      proxy_ssl_trusted_certificate ${certificates.caller}/bundle.pem;
      proxy_ssl_verify on;
      proxy_ssl_name ${apiDnsName};
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    }
  }`;
  const inbound = await start(folder, "inbound", inboundPort, inboundConfig);
  const outbound = await start(folder, "outbound", outboundPort, outboundConfig);
  const shown = (config: string): string => http(config, "…").replaceAll(folder, "…");
  return {
    id: "nginx",
    title: `nginx ${nginxVersion()}`,
    port: outboundPort,
    pids: [outbound.pid, inbound.pid],
    configuration: { "nginx, outbound": shown(outboundConfig), "nginx, inbound": shown(inboundConfig) },
    stop: async () => void (await Promise.all([outbound.stop(), inbound.stop()])),
  };
}

const upstreamKeepAlive = "keepalive 128; keepalive_requests 1000000000; keepalive_timeout 600s;";
const proxyKeepAlive = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;`;

function http(servers: string, folder: string): string {
  return `worker_processes 1;
daemon off;
pid ${folder}/pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  scgi_temp_path ${folder}/scgi;
  uwsgi_temp_path ${folder}/uwsgi;
  ${servers}
}
`;
}

async function start(folder: string, name: string, port: number, servers: string): Promise<MeshProcess> {
  const own = join(folder, `nginx-${name}`);
  mkdirSync(own);
  const file = join(own, "nginx.conf");
  // Its workers run as another user, who must be able to write the temporary files.
  const user = process.getuid?.() === 0 ? "user root;\n" : "";
  writeFileSync(file, user + http(servers, own));
  const server = startProcess("nginx", ["-c", file, "-p", own]);
  const ended = server.exit.then(({ stderr }) => Promise.reject(new Error(`nginx ended: ${stderr}`)));
  // Only of interest while it starts.
  ended.catch(() => {});
  await Promise.race([eventually(`nginx ${name} on port ${port}`, () => isListening(port)), ended]);
  return server;
}

async function isListening(port: number): Promise<boolean> {
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
